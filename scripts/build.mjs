// npm run build: the database client, the web UI, and everything compiled to dist/. Parts that are not there are left out.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const require = createRequire(import.meta.url);

function run(name, script, args = []) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [script, ...args], { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
    child.once('error', reject);
    child.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`${name} failed`))));
  });
}

const newest = (folder) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((time, entry) => Math.max(time, statSync(join(entry.parentPath ?? entry.path, entry.name)).mtimeMs), 0);

async function generate() {
  if (!existsSync(join(root, 'prisma/schema.prisma')) || !existsSync(join(root, 'scripts/prisma-cli.mjs'))) return;
  const output = join(root, 'apiserver/db/generated/client.ts');
  if (existsSync(output) && statSync(output).mtimeMs > statSync(join(root, 'prisma/schema.prisma')).mtimeMs) return;
  await run('prisma generate', join(root, 'scripts/prisma-cli.mjs'), ['generate']);
}

async function web() {
  if (!existsSync(join(root, 'web/vite.config.ts'))) return;
  const built = join(root, 'dist/web/index.html');
  if (existsSync(built) && statSync(built).mtimeMs > newest(join(root, 'web'))) return;
  const vite = join(require.resolve('vite/package.json'), '../bin/vite.js');
  await run('vite build', vite, ['build', 'web', '--logLevel', 'warn']);
}

const compile = () => run('tsc', join(root, 'node_modules/typescript-native/bin/tsc'), []);

/** A migrated database folder, so that a first start need not make one. */
async function template() {
  const script = join(root, 'dist/scripts/prisma-template.js');
  if (!existsSync(script)) return;
  const made = join(root, 'dist/pglite-template.sha256');
  if (existsSync(made) && statSync(made).mtimeMs > newest(join(root, 'prisma/migrations'))) return;
  await run('the database template', script);
}

try {
  mkdirSync(join(root, 'dist'), { recursive: true });
  await generate();
  await web();
  await compile();
  rmSync(join(root, 'dist/bundle'), { recursive: true, force: true });
  const { bundle, PROGRAMS } = await import('./bundle.mjs');
  await Promise.all([bundle(PROGRAMS, 'dist/bundle'), template()]);
} catch (error) {
  process.stderr.write(`build: ${error.message}\n`);
  process.exitCode = 1;
}
