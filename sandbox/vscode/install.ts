/**
 * Installs code-server from npm into a cache folder of the user. Its post-install script refuses to run as root and
 * builds a module that needs Kerberos headers, so the scripts are left out and only what is needed is built.
 */
import { spawn } from 'node:child_process';
import { cp, mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { installedMark } from './binary.js';

export interface InstallProgress {
  state: 'not_installed' | 'installing' | 'installed' | 'failed';
  percent: number;
  message: string;
  error: string | null;
}

export const VERSION = '4.100.3';

export interface InstallOptions {
  home: string;
  env: Record<string, string>;
  onProgress: (percent: number, message: string) => void;
}

interface Step {
  percent: number;
  message: string;
  command: string[];
  /** Below `home`. */
  folder: string;
  /** A failure of this step does not end the installation: what it makes is checked by starting. */
  optional?: boolean;
}

const SERVER = 'node_modules/code-server';
const VSCODE = `${SERVER}/lib/vscode`;
const NPM = ['npm', '--no-audit', '--no-fund', '--loglevel=error'];

const STEPS: Step[] = [
  {
    percent: 5,
    message: 'downloading code-server',
    command: [...NPM, 'install', '--ignore-scripts', `code-server@${VERSION}`],
    folder: '.',
  },
  {
    percent: 40,
    message: 'downloading the editor’s modules',
    command: [...NPM, 'install', '--omit=dev', '--ignore-scripts'],
    folder: VSCODE,
  },
  {
    percent: 60,
    message: 'building terminal and file watcher',
    command: [...NPM, 'rebuild', 'node-pty', '@vscode/spdlog', 'native-watchdog'],
    folder: VSCODE,
    optional: true,
  },
  {
    percent: 90,
    message: 'building the password module',
    command: [...NPM, 'rebuild', 'argon2'],
    folder: '.',
    optional: true,
  },
];

const STEP_MS = 10 * 60_000;

/** Throws an error that says which step failed. An installation that is there already is left alone. */
export async function install(options: InstallOptions): Promise<void> {
  const { home, onProgress } = options;
  await rm(installedMark(home), { force: true });
  await mkdir(home, { recursive: true });
  await writeFile(join(home, 'package.json'), '{"private":true}\n');
  for (const step of STEPS) {
    onProgress(step.percent, step.message);
    try {
      await run(step.command, join(home, step.folder), options.env);
    } catch (error) {
      if (step.optional !== true) throw new Error(`${step.message}: ${(error as Error).message}`, { cause: error });
    }
  }
  const vscode = join(home, VSCODE);
  await symlink('node_modules', join(vscode, 'node_modules.asar')).catch(() => undefined);
  await linkRipgrep(vscode);
  await writeFile(installedMark(home), `${VERSION}\n`);
  onProgress(100, 'installed');
}

/** The search of the editor calls ripgrep from a folder that its own post-install script would fill. */
async function linkRipgrep(vscode: string): Promise<void> {
  const folder = join(vscode, 'node_modules/@vscode/ripgrep/bin');
  await mkdir(folder, { recursive: true });
  await cp('/usr/bin/rg', join(folder, 'rg')).catch(() => undefined);
}

function run(command: string[], cwd: string, env: Record<string, string>): Promise<void> {
  return new Promise((resolve, reject) => {
    const [program = 'npm', ...args] = command;
    const child = spawn(program, args, { cwd, env, stdio: ['ignore', 'ignore', 'pipe'], timeout: STEP_MS });
    let complaint = '';
    child.stderr.on('data', (data: Buffer) => (complaint = `${complaint}${data.toString()}`.slice(-2000)));
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve();
      else
        reject(new Error(`${program} ended with ${code ?? 'a signal'}: ${complaint.trim().split('\n').at(-1) ?? ''}`));
    });
  });
}
