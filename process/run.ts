/**
 * The life of a program: start, announce, serve, drain, close. One order for all of them: start everything, say ready
 * last; on SIGTERM become unready and drain first, close last; a bounded time for each, and never an orphan.
 */
import { ConfigError, flag, logLevel } from './config.js';
import { createLog, type Logger } from './log.js';

export interface Running {
  /** Sent to a parent process that started this one (`sandlot up`), beside `type: 'ready'`. */
  announce?: Record<string, unknown>;
  /** Stop taking new work and finish what runs. */
  drain(): Promise<void>;
  /** Give everything back: sockets, leases, files. */
  close(): Promise<void>;
}

export interface Program {
  name: string;
  start(context: { log: Logger; signal: AbortSignal }): Promise<Running>;
  /** LOG_LEVEL and LOG_JSON; a wrong value is told by the program's configuration, in a log that works. */
  env: NodeJS.ProcessEnv;
  /** How long drain and close may take together, ms. */
  graceMs?: number;
}

const GRACE_MS = 25_000;

/** Runs a program until SIGTERM, SIGINT or the loss of its parent; ends the process. Exit codes: 0 asked to stop, 1 failure, 2 wrong configuration. */
export async function runProgram(program: Program): Promise<void> {
  const log = createLog({
    name: program.name,
    level: logLevel().catch('info').parse(program.env.LOG_LEVEL),
    json: flag().catch(false).parse(program.env.LOG_JSON),
  });
  const stopping = new AbortController();
  const stopped = whenToldToStop();
  crashOnLostErrors(log);
  let running: Running;
  try {
    running = await program.start({ log, signal: stopping.signal });
  } catch (error) {
    return fail(log, error);
  }
  process.send?.({ type: 'ready', ...running.announce });
  const why = await stopped;
  log.info({ why }, 'stopping');
  setTimeout(() => {
    log.error('drain took too long; exiting');
    process.exit(1);
  }, program.graceMs ?? GRACE_MS).unref();
  try {
    await running.drain();
    stopping.abort(new Error('stopping'));
    await running.close();
    process.exit(0);
  } catch (error) {
    fail(log, error);
  }
}

/** Resolves with the reason at the first of SIGTERM, SIGINT and the parent's end. A second signal exits at once. */
function whenToldToStop(): Promise<string> {
  return new Promise((resolve) => {
    let told = false;
    const tell = (why: string) => {
      if (told) process.exit(1);
      told = true;
      resolve(why);
    };
    process.on('SIGTERM', tell);
    process.on('SIGINT', () => {
      // A Ctrl-C in a terminal goes to the whole process group; a supervised program waits for its supervisor's word.
      if (process.send === undefined) tell('SIGINT');
    });
    process.once('disconnect', () => {
      // The parent may hang up after its SIGTERM; only a loss out of the blue means anything.
      if (!told) tell('parent gone');
    });
  });
}

/** An error that nobody handles leaves the process in an unknown state: say it and die, the supervisor starts it again. */
function crashOnLostErrors(log: Logger): void {
  process.on('uncaughtException', (error) => fail(log, error));
  process.on('unhandledRejection', (error) => fail(log, error));
}

/** A wrong configuration needs its sentence, not a stack; libraries below us have classes of their own for it. */
const isConfigError = (error: unknown): error is Error =>
  error instanceof ConfigError || (error instanceof Error && error.name.endsWith('ConfigError'));

function fail(log: Logger, error: unknown): void {
  if (isConfigError(error)) {
    process.stderr.write(`${error.message}\n`);
    process.exit(2);
  }
  log.fatal({ err: error }, 'failed');
  process.exit(1);
}
