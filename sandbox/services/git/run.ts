/** Runs git: bounded in time and output, without prompts, and without programs that a repository names. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { badRequest } from '../../http/errors.js';

const MAX_OUTPUT = 64 << 20;
const TIMEOUT_MS = 30_000;

/** What a folder without commits is compared with. */
export const EMPTY_TREE = '4b825dc642cb6eb9a060e54bf8d69288fbee4904';

export interface GitOptions {
  /** More environment, for instance an index of its own. */
  env?: Record<string, string>;
  timeoutMs?: number;
}

/** Output of git; throws HttpError 400 with git's words. */
export async function git(cwd: string, args: string[], options: GitOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const how = {
      cwd,
      maxBuffer: MAX_OUTPUT,
      timeout: options.timeoutMs ?? TIMEOUT_MS,
      env: { ...gitEnvironment(), ...options.env },
    };
    execFile('git', ['-c', 'core.quotepath=off', ...args], how, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout);
      const why = stderr.trim() === '' ? error.message : stderr.trim();
      reject(badRequest(`Git command failed: git ${args.join(' ')}: ${why}`));
    });
  });
}

/** Output of git without the line end; undefined when it fails or says nothing. */
export async function ask(cwd: string, args: string[]): Promise<string | undefined> {
  const output = await git(cwd, args).catch(() => undefined);
  const text = output?.trim();
  return text === '' ? undefined : text;
}

/** Git whose output is too long to hold: read its stdout, and mind its exit code. */
export const gitProcess = (cwd: string, args: string[], options: GitOptions = {}): ChildProcess =>
  spawn('git', args, {
    cwd,
    timeout: options.timeoutMs ?? TIMEOUT_MS,
    env: { ...gitEnvironment(), ...options.env },
    stdio: ['ignore', 'pipe', 'ignore'],
  });

const gitEnvironment = (): Record<string, string> => ({
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/nonexistent',
  GIT_TERMINAL_PROMPT: '0',
  GIT_OPTIONAL_LOCKS: '0',
  GIT_CONFIG_COUNT: '2',
  GIT_CONFIG_KEY_0: 'safe.directory',
  GIT_CONFIG_VALUE_0: '*',
  GIT_CONFIG_KEY_1: 'core.fsmonitor',
  GIT_CONFIG_VALUE_1: 'false',
});

/** The commit that a name stands for; undefined when there is none. */
export const commitOf = (root: string, name: string): Promise<string | undefined> =>
  ask(root, ['rev-parse', '--verify', '--quiet', '--end-of-options', `${name}^{commit}`]);

/** Top folder of the repository that holds the folder; undefined when it is in none. */
export const rootOf = (folder: string): Promise<string | undefined> => ask(folder, ['rev-parse', '--show-toplevel']);

export const isFolder = (path: string): Promise<boolean> =>
  stat(path).then((found) => found.isDirectory(), () => false); // prettier-ignore
