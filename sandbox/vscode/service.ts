/** The VS Code server of the pod: found or installed, started when somebody opens it. */
import type { Server } from 'node:http';
import { join } from 'node:path';
import type { Logger } from '../../process/log.js';
import type { ServerConfig } from '../config.js';
import type { PathMap } from '../conversations/workspace.js';
import { findBinary } from './binary.js';
import { environment } from './environment.js';
import { createFront } from './front.js';
import { install } from './install.js';
import { readLock, takeLock } from './lock.js';
import { createProgram } from './program.js';

export interface InstallProgress {
  state: 'absent' | 'installing' | 'installed' | 'failed';
  /** What it does now, or why it failed. */
  message: string;
  /** 0 to 100. */
  percent: number;
}

export interface VscodeService {
  status(): { running: boolean; enabled: boolean };
  /** Where a browser opens it, with its key and folder (as clients know it); null where it is not installed. */
  url(options: { baseUrl?: string | undefined; folder: string }): Promise<string | null>;
  /** Listens on its port; the editor itself starts with the first request. Never rejects. */
  start(): Promise<void>;
  /** Installs it for all sandboxes of this machine, in the background. */
  install(): Promise<InstallProgress>;
  progress(): Promise<InstallProgress>;
  close(): Promise<void>;
}

export interface VscodeOptions {
  config: () => ServerConfig;
  paths: PathMap;
  touch: () => void;
  log: Logger;
}

const INSTALLED: InstallProgress = { state: 'installed', percent: 100, message: '' };
const ABSENT: InstallProgress = { state: 'absent', percent: 0, message: '' };

export function createVscode(options: VscodeOptions): VscodeService {
  const { log, paths } = options;
  const config = () => options.config();
  const stopping = new AbortController();
  let failure: string | undefined;
  let front: Server | undefined;
  const find = () => findBinary(config().vscode.cache);
  const lockPath = () => join(config().vscode.cache, 'vscode.lock');
  const program = createProgram({
    find,
    data: () => join(config().workspaceRoot, '.vscode-server'),
    env: () => config().commandEnv,
    log,
  });

  const progress = async (): Promise<InstallProgress> => {
    if ((await find()) !== undefined) return INSTALLED;
    // Another sandbox of this machine may be at it.
    const now = await readLock(lockPath());
    if (now !== undefined) return { state: 'installing', ...now };
    return failure === undefined ? ABSENT : { state: 'failed', percent: 0, message: failure };
  };

  const runInstallation = async (): Promise<void> => {
    const { cache } = config().vscode;
    const lock = await takeLock(lockPath());
    if (lock === undefined) return;
    let last = '';
    try {
      if ((await find()) !== undefined) return;
      await install({
        cache,
        // The user's own npm settings: registry, proxy, certificates.
        env: { ...config().commandEnv, HOME: environment().home },
        signal: stopping.signal,
        onProgress(percent, message) {
          const text = `${percent} ${message}`;
          if (text === last) return;
          last = text;
          lock.report({ percent, message }).catch(() => undefined);
        },
      });
    } finally {
      await lock.release();
    }
  };

  const service: VscodeService = {
    status: () => ({ running: program.running, enabled: config().vscode.enabled }),
    async url({ baseUrl, folder }) {
      const { enabled, port, basePath } = config().vscode;
      if (!enabled || (await find()) === undefined) return null;
      await service.start();
      program.ready().catch((error: unknown) => log.warn({ err: error }, 'VS Code did not start'));
      const base = (baseUrl ?? `http://localhost:${port}${basePath ?? ''}`).replace(/\/+$/, '');
      const token = config().sessionApiKeys[0];
      return `${base}/?${token === undefined ? '' : `tkn=${encodeURIComponent(token)}&`}folder=${encodeURIComponent(folder)}`;
    },
    async start() {
      if (!config().vscode.enabled || front !== undefined || stopping.signal.aborted) return;
      const { host, vscode } = config();
      const rules = () => {
        const { sessionApiKeys: keys, vscode } = config();
        return { keys, basePath: vscode.basePath, paths };
      };
      const { touch } = options;
      front = createFront({ program, progress, install: service.install, rules, touch, log });
      await listen(front, vscode.port, host).catch((error: unknown) => {
        front = undefined;
        log.warn({ err: error, port: vscode.port }, 'the port of VS Code cannot be used');
      });
    },
    async install() {
      const now = await progress();
      if (now.state === 'installed' || now.state === 'installing') return now;
      failure = undefined;
      runInstallation().catch((error: unknown) => {
        failure = error instanceof Error ? error.message : String(error);
        if (!stopping.signal.aborted) log.warn({ err: error }, 'VS Code could not be installed');
      });
      return { state: 'installing', percent: 0, message: 'Starting' };
    },
    progress,
    async close() {
      stopping.abort();
      front?.close();
      front?.closeAllConnections();
      await program.close();
    },
  };
  return service;
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, host }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
