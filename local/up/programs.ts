/** Keeps the programs of floor 2 running: forks them, waits for their word, starts again what died. */
import { fork, type ChildProcess } from 'node:child_process';
import type { Readable } from 'node:stream';
import type { Log } from '../../kube/log.js';
import type { Clock } from '../../kube/types.js';

export interface Program {
  name: string;
  env: NodeJS.ProcessEnv;
}

export interface Supervised {
  /** Resolves at the first ready message; rejects with ProgramFailed when it cannot be started. */
  ready: Promise<void>;
  /** SIGTERM, and SIGKILL after the grace; resolves when it has ended for good. */
  stop(graceMs: number): Promise<void>;
}

/** A program that ends again and again before it ever was ready; `output` is what it said last. */
export class ProgramFailed extends Error {
  override readonly name = 'ProgramFailed';
  constructor(
    readonly program: string,
    readonly output: string,
  ) {
    super(`${program} does not start`);
  }
}

const BACKOFF = { baseMs: 100, capMs: 10_000 };
/** A program that ran this long was well: its failures are forgotten. */
const WELL_MS = 30_000;
const FIRST_TRIES = 3;
const WRONG_CONFIGURATION = 2;
const KEPT_OUTPUT = 4_000;

export interface SuperviseOptions {
  /** The module to fork; the program's name is its argument. */
  cli: string;
  execArgv: readonly string[];
  clock: Clock;
  log: Log;
  /** Takes what the program writes, until the stream ends. */
  output(name: string, stream: Readable): void;
}

export function supervise(program: Program, options: SuperviseOptions): Supervised {
  const { clock, log } = options;
  const stopping = new AbortController();
  let child: ChildProcess | undefined;
  let last = '';
  let wasReady = false;
  let settle: { resolve: () => void; reject: (error: Error) => void };
  const ready = new Promise<void>((resolve, reject) => (settle = { resolve, reject }));

  /** One life; answers the exit code. */
  const live = (): Promise<number | null> =>
    new Promise((resolve) => {
      const started = fork(options.cli, [program.name], {
        env: program.env,
        execArgv: [...options.execArgv],
        stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      });
      child = started;
      for (const stream of [started.stdout, started.stderr]) {
        if (stream === null) continue;
        options.output(program.name, stream);
        stream.on('data', (chunk: Buffer) => (last = (last + chunk.toString('utf8')).slice(-KEPT_OUTPUT)));
      }
      started.on('message', (message) => {
        if ((message as { type?: unknown }).type !== 'ready') return;
        wasReady = true;
        settle.resolve();
      });
      started.once('error', (error) => {
        last += `${error.message}\n`;
        resolve(null);
      });
      started.once('exit', (code) => resolve(code));
    });

  const loop = async (): Promise<void> => {
    for (let failures = 0; !stopping.signal.aborted;) {
      const begin = clock.now();
      const code = await live();
      if (stopping.signal.aborted) return;
      failures = clock.now() - begin > WELL_MS ? 1 : failures + 1;
      if (!wasReady && (code === WRONG_CONFIGURATION || failures >= FIRST_TRIES))
        return settle.reject(new ProgramFailed(program.name, last));
      const ms = Math.min(BACKOFF.capMs, BACKOFF.baseMs * 2 ** (failures - 1));
      log.warn({ program: program.name, code, ms }, 'a program ended, starting it again');
      await clock.sleep(ms, stopping.signal).catch(() => undefined);
    }
  };
  ready.catch(() => undefined);
  const ended = loop();

  return {
    ready,
    async stop(graceMs) {
      stopping.abort();
      child?.kill('SIGTERM');
      const late = new AbortController();
      clock.sleep(graceMs, late.signal).then(
        () => child?.kill('SIGKILL'),
        () => undefined,
      );
      await ended;
      late.abort();
    },
  };
}
