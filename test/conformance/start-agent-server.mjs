// Starts this package's agent server for the conformance runner: HOST, PORT, DIR and OH_* come from the runner.
// From dist/ when that is built and SANDLOT_FROM is not `source`, else from source.
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const dir = process.env.DIR ?? process.cwd();
mkdirSync(dir, { recursive: true });
const defaults = {
  OH_CONVERSATIONS_PATH: join(dir, 'conversations'),
  OH_BASH_EVENTS_DIR: join(dir, 'bash_events'),
  OH_PERSISTENCE_DIR: join(dir, 'persistence'),
  SANDLOT_WORKSPACE_ROOT: join(dir, 'workspace'),
  OH_ENABLE_VSCODE: 'true',
  SANDLOT_CACHE_DIR: join(dir, 'cache'),
  LOG_LEVEL: 'warn',
};
const env = { ...defaults, ...process.env };
Object.assign(process.env, env);
const built = join(root, 'dist/sandbox/main.js');
const fromSource = process.env.SANDLOT_FROM === 'source' || !existsSync(built);
if (fromSource) (await import('tsx/esm/api')).register();
const { main } = await import(pathToFileURL(fromSource ? join(root, 'sandbox/main.ts') : built).href);
await main(env);
