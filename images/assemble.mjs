// node images/assemble.mjs FOLDER PROGRAM...   Puts what an image needs of the built package into FOLDER: the bundles of the
// programs, the packages that bundles cannot hold, and data files. 30 MB instead of the 700 that development needs.
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundle, LEFT_OUT } from '../scripts/bundle.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const [folder, ...programs] = process.argv.slice(2);
if (folder === undefined || programs.length === 0)
  throw new Error(
    'usage: node images/assemble.mjs FOLDER PROGRAM...   (operator, gateway, apiserver, apiserver/data, sandbox)',
  );

/** Loaded by `require` at run time, where a bundler does not see it. */
const LOADED_LATER = { sandbox: ['@lydell/node-pty'] };
/** Reads kubeconfigs with helper programs; a pod has its service account. */
const NOT_IN_PODS = ['@kubernetes/client-node'];
const DATA = {
  apiserver: ['dist/web', 'dist/pglite-template', 'dist/pglite-template.sha256', 'prisma/migrations'],
};
const ALWAYS = ['bin', 'crds', 'LICENSE', 'dist/local/cli.js', 'dist/process/root.js'];

const { outputs } = await bundle(programs, join(folder, 'dist/bundle'));
const imported = new Set(
  Object.values(outputs).flatMap(({ imports }) => imports.filter((one) => one.external).map((one) => one.path)),
);
copyPackages();
for (const path of [...ALWAYS, ...programs.flatMap((program) => DATA[program] ?? [])])
  cpSync(join(root, path), join(folder, path), { recursive: true });
const { name, version, license, type } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
writeFileSync(join(folder, 'package.json'), `${JSON.stringify({ name, version, license, type, private: true })}\n`);
readableByAll(folder);

/** Images run as another user than they are built by, and the database's template is private to its maker. */
function readableByAll(place) {
  for (const entry of readdirSync(place, { recursive: true, withFileTypes: true })) {
    if (entry.isSymbolicLink()) continue;
    const path = join(entry.parentPath ?? entry.path, entry.name);
    chmodSync(path, statSync(path).mode | (entry.isDirectory() ? 0o755 : 0o644));
  }
}

function copyPackages() {
  const wanted = LEFT_OUT.filter((one) => [...imported].some((path) => path === one || path.startsWith(`${one}/`)));
  const later = programs.flatMap((program) => LOADED_LATER[program] ?? []);
  for (const one of [...wanted, ...later])
    if (!NOT_IN_PODS.includes(one)) copyPackage(one, root, join(folder, 'node_modules'));
}

/** Copies a package as seen from a folder, and below it (or beside it, the first time) what it depends on. */
function copyPackage(name, from, modules) {
  const source = find(name, from);
  if (source === undefined) return; // optional, or for another platform
  const manifest = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8'));
  const shared = join(folder, 'node_modules', name);
  const place = existsSync(shared) && versionAt(shared) !== manifest.version ? join(modules, name) : shared;
  if (existsSync(place)) return;
  mkdirSync(dirname(place), { recursive: true });
  cpSync(source, place, { recursive: true, filter: (path) => isNeeded(name, path.slice(source.length)) });
  const peers = Object.keys(manifest.peerDependencies ?? {}).filter(
    (peer) => !manifest.peerDependenciesMeta?.[peer]?.optional,
  );
  const below = [
    ...Object.keys(manifest.dependencies ?? {}),
    ...Object.keys(manifest.optionalDependencies ?? {}),
    ...peers,
  ];
  for (const dependency of below) copyPackage(dependency, source, join(place, 'node_modules'));
}

function versionAt(place) {
  return JSON.parse(readFileSync(join(place, 'package.json'), 'utf8')).version;
}

/** As Node looks packages up: in each node_modules on the way up. */
function find(name, from) {
  for (let at = realpathSync(from); ; at = dirname(at)) {
    const place = join(at, 'node_modules', name);
    if (existsSync(place)) return realpathSync(place);
    if (at === dirname(at)) return undefined;
  }
}

/** Types, source maps, other databases' compilers and what only people read stay behind; licences come along. */
function isNeeded(name, path) {
  if (path.startsWith('/node_modules')) return false;
  if (/\.(d\.[cm]?ts|map|md|markdown)$/.test(path)) return false;
  if (name !== '@prisma/client') return true;
  if (/^\/(generator-build|scripts)/.test(path)) return false;
  if (/^\/runtime\/(query_compiler|wasm-compiler|index-browser)/.test(path))
    return [...imported].some((one) => one.endsWith(`/${basename(path)}`));
  return true;
}
