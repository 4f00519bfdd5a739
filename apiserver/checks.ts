/**
 * What this server cannot do without, each looked at by its own name, so that a database that is away is not taken for a
 * cluster that is. Nothing here restarts the process: that brings back neither.
 */
import { Gauge, type Registry } from 'prom-client';
import type { Clock } from '../kube/types.js';
import type { Logger } from '../process/log.js';
import type { Query } from './db/open.js';
import type { SandboxDirectory } from './sandboxes/directory.js';

export const CHECKS = ['database', 'cluster'] as const;
export type Check = (typeof CHECKS)[number];

export interface Checks {
  /** Why not, by name; empty when all is well. */
  failing(): Partial<Record<Check, string>>;
  start(): void;
  stop(): Promise<void>;
}

export interface ChecksOptions {
  query: Query;
  directory: Pick<SandboxDirectory, 'hasSynced' | 'lastContact'>;
  clock: Clock;
  registry: Registry;
  log: Pick<Logger, 'warn' | 'info'>;
}

const EVERY_MS = 5_000;
/** An answer after this is none for whoever waits for a page. */
const ANSWER_MS = 3_000;
/** One lost answer is no outage. */
const MAX_MISSED = 2;
/** Bookmarks come every minute; longer silence means that the cluster is not to be reached. */
const SILENCE_MS = 150_000;

export function createChecks({ query, directory, clock, registry, log }: ChecksOptions): Checks {
  const stopping = new AbortController();
  let missed = 0;
  let looking: Promise<void> | undefined;

  const failing = (): Partial<Record<Check, string>> => {
    const cluster = clusterTrouble(directory, clock.now());
    return {
      ...(missed >= MAX_MISSED ? { database: 'the database does not answer' } : {}),
      ...(cluster === undefined ? {} : { cluster }),
    };
  };
  const look = async (): Promise<void> => {
    const answered = await answersInTime(query, clock);
    if (answered && missed >= MAX_MISSED) log.info('the database answers again');
    missed = answered ? 0 : missed + 1;
    if (missed === MAX_MISSED) log.warn('the database does not answer');
  };
  new Gauge({
    name: 'sandlot_dependency_up',
    help: 'Whether what the API server cannot do without answers: 1 or 0.',
    labelNames: ['dependency'],
    registers: [registry],
    collect() {
      const troubles = failing();
      for (const name of CHECKS) this.labels(name).set(troubles[name] === undefined ? 1 : 0);
    },
  });
  return {
    failing,
    start() {
      looking ??= (async () => {
        while (!stopping.signal.aborted) {
          await look();
          await clock.sleep(EVERY_MS, stopping.signal).catch(() => undefined);
        }
      })();
    },
    async stop() {
      stopping.abort();
      await looking;
    },
  };
}

/** Pure: why the cluster cannot be relied on at `now`. */
function clusterTrouble(directory: ChecksOptions['directory'], now: number): string | undefined {
  if (!directory.hasSynced()) return 'the list of sandboxes is not read yet';
  const silentMs = now - directory.lastContact();
  return silentMs > SILENCE_MS ? `the cluster has been silent for ${Math.round(silentMs / 1000)} s` : undefined;
}

async function answersInTime(query: Query, clock: Clock): Promise<boolean> {
  const waiting = new AbortController();
  const late = clock.sleep(ANSWER_MS, waiting.signal).then(
    () => false,
    () => false,
  );
  const answered = query('SELECT 1').then(
    () => true,
    () => false,
  );
  try {
    return await Promise.race([answered, late]);
  } finally {
    waiting.abort();
  }
}
