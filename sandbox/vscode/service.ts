/** The VS Code server of the pod: found or installed, started on demand, kept running. */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../../process/log.js';
import type { ServerConfig } from '../config.js';
import { findBinary } from './binary.js';
import { install, type InstallProgress } from './install.js';

export interface VscodeService {
  status(): { running: boolean; enabled: boolean };
  /** Where a browser opens it, with its key and folder; null while nothing runs. */
  url(options: { baseUrl?: string | undefined; folder: string }): string | null;
  /** Starts it when it is installed; resolves when it listens or cannot. */
  start(): Promise<void>;
  /** Installs it into the user's cache folder in the background, then starts it. */
  install(): InstallProgress;
  progress(): InstallProgress;
  close(): Promise<void>;
}

export interface VscodeOptions {
  config: () => ServerConfig;
  log: Logger;
}

const RESTART_MS = 2000;
const MAX_RESTARTS = 5;

export function createVscode(options: VscodeOptions): VscodeService {
  let child: ChildProcess | undefined;
  let progress: InstallProgress = { state: 'not_installed', percent: 0, message: '', error: null };
  let restarts = 0;
  let closing = false;
  let token: string | undefined;
  const settings = () => options.config().vscode;
  /** Without session keys the server is open; VS Code still wants a word of its own. */
  const tokenOf = () => options.config().sessionApiKeys[0] ?? (token ??= randomUUID());

  const start = async (): Promise<void> => {
    if (!settings().enabled || child !== undefined || closing) return;
    const binary = await findBinary(settings().home);
    if (binary === undefined) return;
    progress = { state: 'installed', percent: 100, message: binary.version ?? '', error: null };
    const config = options.config();
    const data = join(config.workspaceRoot, '.vscode-server');
    await mkdir(data, { recursive: true });
    const started = spawn(binary.path, binary.args({ config, token: tokenOf(), data }), {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...config.commandEnv, ...binary.env(tokenOf()) },
    });
    child = started;
    started.stderr?.resume();
    started.on('error', (error) => options.log.warn({ err: error }, 'VS Code did not start'));
    started.on('exit', (code) => {
      child = undefined;
      if (closing || restarts++ >= MAX_RESTARTS) return;
      options.log.warn({ code }, 'VS Code ended; starting it again');
      setTimeout(() => void start(), RESTART_MS * restarts).unref();
    });
  };

  return {
    status: () => ({ running: child !== undefined, enabled: settings().enabled }),
    url({ baseUrl, folder }) {
      if (child === undefined) return null;
      const { port, basePath } = settings();
      const base = (baseUrl ?? `http://localhost:${port}${basePath ?? ''}`).replace(/\/+$/, '');
      return `${base}/?tkn=${encodeURIComponent(tokenOf())}&folder=${encodeURIComponent(folder)}`;
    },
    start,
    install() {
      if (progress.state === 'installing' || child !== undefined) return progress;
      progress = { state: 'installing', percent: 0, message: 'starting', error: null };
      install({
        home: settings().home,
        env: options.config().commandEnv,
        onProgress: (percent, message) => (progress = { state: 'installing', percent, message, error: null }),
      })
        .then(start)
        .catch((error: unknown) => {
          options.log.warn({ err: error }, 'VS Code could not be installed');
          progress = {
            state: 'failed',
            percent: 0,
            message: '',
            error: error instanceof Error ? error.message : String(error),
          };
        });
      return progress;
    },
    progress: () => progress,
    async close() {
      closing = true;
      const running = child;
      if (running === undefined) return;
      const ended = new Promise((resolve) => running.once('exit', resolve));
      running.kill('SIGTERM');
      const timer = setTimeout(() => running.kill('SIGKILL'), 3000);
      await ended;
      clearTimeout(timer);
    },
  };
}
