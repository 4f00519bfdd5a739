// How programs are bundled: a few files instead of hundreds, so that they load in half the time.
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));

export const PROGRAMS = ['local/up', 'operator', 'gateway', 'apiserver', 'apiserver/data', 'sandbox'];

/** Packages with files of their own beside the code (wasm, native addons), or needed rarely. */
export const LEFT_OUT = [
  // Reads the files of its page from its own folder.
  '@fastify/swagger-ui',
  '@electric-sql/pglite',
  '@prisma/client',
  '@prisma/adapter-pg',
  'pglite-prisma-adapter',
  'classic-level',
  '@lydell/node-pty',
  'pg',
  '@kubernetes/client-node',
  'pino',
  'prom-client',
  // Finds its own files; needed by conversations that browse.
  'playwright-core',
];

/** Bundles compiled programs into a folder; answers esbuild's metafile. */
export async function bundle(programs, outdir) {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: programs.map((folder) => `dist/${folder}/main.js`),
    outdir,
    outbase: 'dist',
    bundle: true,
    splitting: true,
    metafile: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    external: LEFT_OUT,
    logLevel: 'warning',
    banner: {
      js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);",
    },
  });
  return metafile;
}
