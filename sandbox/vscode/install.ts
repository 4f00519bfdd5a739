/**
 * Installs code-server from npm alone, once per machine and user: no compiler, no download from elsewhere. Its
 * post-install script refuses to run as root and compiles five modules; scripts are left out, and of the modules
 *   node-pty     is replaced by @lydell/node-pty, the same module with binaries inside npm packages
 *   ripgrep      comes with its binary from a later version of its package
 *   argon2       (passwords of a login page that is off) is replaced by one that refuses
 *   spdlog, native-watchdog, kerberos are left out: the editor goes on without them.
 */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { access, cp, mkdir, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { entryOf, installedFolder, VERSION } from './binary.js';
import { InstallError, npm } from './npm.js';

export interface InstallOptions {
  /** Folder that all sandboxes of the machine share. */
  cache: string;
  env: Record<string, string>;
  signal: AbortSignal;
  onProgress(percent: number, message: string): void;
}

const SERVER = 'node_modules/code-server';
const VSCODE = `${SERVER}/lib/vscode`;
const TERMINAL = '@lydell/node-pty@1.1.0';
const SEARCH = '@vscode/ripgrep@1.18.0';

/**
 * npm's calls: which part of the whole time each takes, and how many files it fetches, as measured once. Only the
 * progress bar depends on both. When all is fetched, half of a call's time is still to come.
 */
const CALLS = [
  { message: 'Downloading code-server', args: ['install', `code-server@${VERSION}`, TERMINAL, SEARCH], folder: '.', percent: 70, fetches: 290 },
  { message: 'Downloading the editor’s modules', args: ['install', '--omit=dev'], folder: VSCODE, percent: 18, fetches: 105 },
  { message: 'Downloading language support', args: ['install', '--omit=dev'], folder: `${VSCODE}/extensions`, percent: 7, fetches: 2 },
]; // prettier-ignore
const TEMPORARY = '.partial-';
const CHECK_MS = 60_000;

/**
 * Installs into a folder of its own and renames that into place, so that what is there is whole.
 * Takes about 40 s and 300 MB. The caller holds the machine's lock.
 * @throws InstallError
 */
export async function install(options: InstallOptions): Promise<void> {
  const { cache, onProgress } = options;
  try {
    await removePartial(cache);
    const folder = join(cache, `${TEMPORARY}${randomUUID()}`);
    await mkdir(folder, { recursive: true });
    try {
      await download(folder, options);
      onProgress(96, 'Putting it together');
      await repair(folder);
      await check(folder, options);
      await moveInto(folder, installedFolder(cache));
      onProgress(100, 'Installed');
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  } catch (error) {
    if (error instanceof InstallError) throw error;
    throw new InstallError(explainFiles(error, cache), { cause: error });
  }
}

async function download(folder: string, { env, signal, onProgress }: InstallOptions): Promise<void> {
  await writeFile(join(folder, 'package.json'), '{"private":true}\n');
  const npmCache = join(folder, 'npm-cache');
  let before = 0;
  for (const { message, args, folder: place, percent, fetches } of CALLS) {
    let fetched = 0;
    const show = () => onProgress(Math.round(before + (percent / 2) * Math.min(1, fetched / fetches)), message);
    show();
    const onFetch = () => {
      fetched += 1;
      show();
    };
    await npm({ args: [...args, '--cache', npmCache], cwd: join(folder, place), env, signal, onFetch });
    before += percent;
  }
  await rm(npmCache, { recursive: true, force: true });
}

/** What the left-out scripts would have done. */
async function repair(folder: string): Promise<void> {
  const vscode = join(folder, VSCODE);
  const modules = join(folder, 'node_modules');
  await rm(join(vscode, 'node_modules/node-pty'), { recursive: true, force: true });
  await cp(join(modules, '@lydell/node-pty'), join(vscode, 'node_modules/node-pty'), { recursive: true });
  const search = join(vscode, 'node_modules/@vscode/ripgrep/bin');
  await mkdir(search, { recursive: true });
  await cp(join(modules, `@vscode/ripgrep-${process.platform}-${process.arch}/bin`), search, { recursive: true });
  await refuse(join(modules, 'argon2'));
  await symlink('node_modules', join(vscode, 'node_modules.asar'));
  const kind = process.platform === 'darwin' ? 'darwin' : 'linux';
  await symlink(`code-${kind}.sh`, join(vscode, 'bin/remote-cli/code'));
  await symlink(`browser-${kind}.sh`, join(vscode, 'bin/helpers/browser.sh'));
}

/** A module in argon2's place: nobody logs in by password here. */
async function refuse(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'package.json'), '{"name":"argon2","version":"0.0.0","main":"index.js"}\n');
  const lines = ['hash', 'verify', 'needsRehash'].map((name) => `exports.${name} = refuse;`);
  const refusal = `const refuse = () => { throw new Error('passwords are not in use'); };`;
  await writeFile(join(folder, 'index.js'), `${[refusal, ...lines].join('\n')}\n`);
}

/** That it loads, with its terminal, on this machine and this Node.js. */
async function check(folder: string, { env, signal }: InstallOptions): Promise<void> {
  const run = promisify(execFile);
  const options = { env, signal, timeout: CHECK_MS, cwd: folder };
  const pty = join(folder, VSCODE, 'node_modules/node-pty');
  try {
    await run(process.execPath, [entryOf(folder), '--version'], options);
    await run(process.execPath, ['-e', `require(${JSON.stringify(pty)})`], options);
  } catch (error) {
    const said = ((error as { stderr?: string }).stderr ?? '').trim().split('\n').slice(-3).join(' ').slice(0, 400);
    throw new InstallError(
      `VS Code was installed but does not run on ${process.platform}-${process.arch} with Node.js ${process.version}: ${said}`,
      { cause: error },
    );
  }
}

/** Whoever was first has won: both are the same. */
async function moveInto(folder: string, place: string): Promise<void> {
  try {
    await rename(folder, place);
  } catch (error) {
    if (await access(entryOf(place)).then(() => true, () => false)) return; // prettier-ignore
    throw error;
  }
}

/** What installations left that were killed. */
async function removePartial(cache: string): Promise<void> {
  await mkdir(cache, { recursive: true });
  const partial = (await readdir(cache)).filter((name) => name.startsWith(TEMPORARY));
  await Promise.all(partial.map((name) => rm(join(cache, name), { recursive: true, force: true })));
}

function explainFiles(error: unknown, cache: string): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOSPC' || code === 'EDQUOT') return `The disk of ${cache} is full: VS Code needs about 350 MB.`;
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS')
    return `${cache} cannot be written: set SANDLOT_CACHE_DIR to a folder that can.`;
  return `VS Code could not be installed in ${cache}: ${message}`;
}
