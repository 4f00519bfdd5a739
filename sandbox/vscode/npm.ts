/** Runs npm for an installation: counts what it fetches, and turns its failures into sentences to act on. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export interface NpmRun {
  args: string[];
  cwd: string;
  env: Record<string, string>;
  signal: AbortSignal;
  /** Called once for each file that npm has fetched, or found in its cache. */
  onFetch(): void;
}

/** The message says what went wrong and what to do. */
export class InstallError extends Error {
  override readonly name = 'InstallError';
}

const KEPT_LINES = 40;
const COMMON = ['--no-audit', '--no-fund', '--loglevel=http', '--ignore-scripts'];

/** @throws InstallError */
export function npm({ args, cwd, env, signal, onFetch }: NpmRun): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn('npm', [...args, ...COMMON], { cwd, env, stdio: ['ignore', 'ignore', 'pipe'], signal });
    const complaints: string[] = [];
    createInterface(child.stderr).on('line', (line) => {
      if (/^npm http (?:fetch|cache)\b/.test(line)) onFetch();
      else if (/^npm (?:error|ERR!)/.test(line) && complaints.length < KEPT_LINES)
        complaints.push(line.replace(/^npm (?:error|ERR!) ?/, '').slice(0, 500));
    });
    child.on('error', (error: NodeJS.ErrnoException) =>
      reject(new InstallError(startFailure(error), { cause: error })),
    );
    child.on('close', (code) => {
      if (code === 0) resolve();
      else reject(new InstallError(explain(complaints, code)));
    });
  });
}

const startFailure = (error: NodeJS.ErrnoException): string =>
  error.code === 'ENOENT'
    ? 'VS Code is installed by npm, and there is no npm in PATH. Put it there and try again.'
    : error.code === 'ABORT_ERR'
      ? 'The installation was stopped.'
      : `npm cannot be run: ${error.message}`;

const CAUSES: [code: RegExp, advice: string][] = [
  [
    /ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ECONNREFUSED|ECONNRESET|ENETUNREACH|ERR_SOCKET_TIMEOUT/,
    'npm cannot reach its registry. Check the network, or the proxy and registry in ~/.npmrc, and try again.',
  ],
  [
    /SELF_SIGNED|UNABLE_TO_|CERT_|DEPTH_ZERO/,
    'npm does not trust the certificate of its registry: set `cafile` in ~/.npmrc.',
  ],
  [/E40[13]|ENEEDAUTH/, 'The registry wants npm to log in: run `npm login`, or correct ~/.npmrc.'],
  [/E404|ETARGET|E50\d/, 'The registry does not have the package: check `registry` in ~/.npmrc.'],
  [/ENOSPC|EDQUOT/, 'The disk is full: VS Code needs about 350 MB.'],
  [/EACCES|EPERM|EROFS/, 'A folder cannot be written: set SANDLOT_CACHE_DIR to one that can.'],
];

/** Pure. `complaints` are npm's error lines without their prefix. */
export function explain(complaints: string[], code: number | null): string {
  const told = complaints.find((line) => /^code /.test(line)) ?? '';
  const all = complaints.join('\n');
  const cause = CAUSES.find(([pattern]) => pattern.test(told)) ?? CAUSES.find(([pattern]) => pattern.test(all));
  const words = complaints.filter((line) => line !== '' && !/^(?:code |A complete log|errno|syscall)/.test(line));
  const said = words.slice(0, 3).join(' ').slice(0, 400);
  if (cause === undefined) return `npm ended with ${code ?? 'a signal'}${said === '' ? '.' : `: ${said}`}`;
  return `${cause[1]}${said === '' ? '' : ` (${said})`}`;
}
