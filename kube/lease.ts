/**
 * Leader election by a coordination.k8s.io Lease, written with optimistic concurrency. Never two leaders:
 * - the holder stops leading `renewDeadlineMs` after the *start* of its last successful renewal, without asking anyone;
 * - a candidate takes over `leaseDurationMs` (longer) after it *saw* the last renewal, by its own monotonic clock, never by
 *   the timestamps in the Lease. Clocks of different machines are not compared.
 */
import { isAlreadyExists, isConflict, isNotFound, type KubeClient } from './client.js';
import { LEASE } from './kinds.js';
import type { LeaseObject } from './objects.js';
import type { Log } from './log.js';
import type { KubeMetrics } from './metrics.js';
import type { Clock } from './types.js';

export interface LeaseOptions {
  client: Pick<KubeClient, 'get' | 'create' | 'replace'>;
  namespace: string;
  name: string;
  /** Unique per process, e.g. the pod's name. */
  identity: string;
  /**
   * Runs while this process leads; must stop working and resolve when `signal` is aborted (leadership lost or `stop`). The
   * next term, here, starts only after that; the Lease is released only after that.
   */
  lead: (signal: AbortSignal) => Promise<void>;
  clock: Clock;
  /** ms that never jump back; default the process's. Wall time is only looked at to notice a suspended machine. */
  monotonicNow?: () => number;
  log: Log;
  metrics?: KubeMetrics | undefined;
  leaseDurationMs?: number;
  renewDeadlineMs?: number;
  retryPeriodMs?: number;
  random?: () => number;
}

export interface LeaderElection {
  /** True only while leadership is certain at this moment. */
  leads(): boolean;
  /**
   * How long, ms, a write that begins now may take; 0: none may begin. It is over before another can lead. Also while the
   * term is being ended in good order, when the Lease is still held.
   */
  writeTimeMs(): number;
  /** Who holds the Lease, as last seen. */
  holder(): string | undefined;
  /**
   * Ends the term, waits for `lead`, releases the Lease so that another can take it at once. Work that does not end is left
   * behind when its last write is over; the Lease runs out then.
   */
  stop(): Promise<void>;
  /**
   * Resolves after `stop`. Rejects when the work of a lost term does not end within a minute: this process can never lead
   * again then and has to end, which is what happens when nobody handles this.
   */
  over: Promise<void>;
}

/** No write may begin any more. */
const OVER = { monotonic: -Infinity, wall: -Infinity };
const DURATION = { lease: 15_000, renew: 10_000, retry: 2_000 };
/** Above the longest call that work without an ear for its signal may be waiting for. */
const END_MS = 60_000;

/** metav1.MicroTime: exactly six digits. */
const microTime = (ms: number): string => new Date(ms).toISOString().replace('Z', '000Z');

interface Seen {
  object: LeaseObject | undefined;
  /** Changes at every renewal; '': there is none; undefined: never looked. */
  version: string | undefined;
  /**
   * Until when it may be another's, on the monotonic clock. One that is not there may have been deleted a moment ago under a
   * holder who has not noticed, so it binds like one that was just renewed. One without holder binds nobody.
   */
  boundUntil: number;
}

export function startLeaderElection(options: LeaseOptions): LeaderElection {
  const { client, namespace, name, identity, clock, log, metrics, random = Math.random } = options;
  const monotonicNow = options.monotonicNow ?? (() => performance.now());
  const duration = options.leaseDurationMs ?? DURATION.lease;
  const renewDeadline = options.renewDeadlineMs ?? DURATION.renew;
  const retryPeriod = options.retryPeriodMs ?? DURATION.retry;
  if (!(retryPeriod * 1.2 < renewDeadline && renewDeadline < duration)) {
    throw new RangeError('lease: retry period < renew deadline < lease duration must hold');
  }
  metrics?.leader(name, false);
  const stopping = new AbortController();
  const ref = { namespace, name };
  let seen: Seen = { object: undefined, version: undefined, boundUntil: 0 };
  let term: { until: { monotonic: number; wall: number }; end: AbortController; ended: Promise<void> } | undefined;

  const termLeft = (): number =>
    term === undefined
      ? 0
      : // A suspended machine's monotonic clock may stand still; its wall clock does not.
        Math.max(0, Math.min(term.until.monotonic - monotonicNow(), term.until.wall - clock.now()));
  const leads = (): boolean => term !== undefined && !term.end.signal.aborted && termLeft() > 0;
  const writeTimeMs = (): number => (termLeft() > 0 ? termLeft() + duration - renewDeadline : 0);

  const observe = (object: LeaseObject | undefined): void => {
    const version = object?.metadata.resourceVersion ?? '';
    if (version === seen.version) return;
    const { holderIdentity, leaseDurationSeconds } = object?.spec ?? {};
    const free = object !== undefined && (!holderIdentity || holderIdentity === identity);
    if (object === undefined && term === undefined)
      log.info(
        { lease: name, waitMs: duration },
        'there is no lease: it may have been deleted under a leader just now',
      );
    const boundUntil = free ? 0 : monotonicNow() + (leaseDurationSeconds ?? duration / 1000) * 1000;
    seen = { object, version, boundUntil };
  };
  const isFree = (): boolean => monotonicNow() >= seen.boundUntil;
  const isOurs = (): boolean => seen.object?.spec?.holderIdentity === identity;

  const record = (holderIdentity: string): LeaseObject => {
    const old = seen.object?.spec;
    const now = microTime(clock.now());
    const same = old?.holderIdentity === holderIdentity;
    return {
      metadata: { ...seen.object?.metadata, namespace, name },
      spec: {
        holderIdentity,
        // A released lease may be taken at once.
        leaseDurationSeconds: holderIdentity === '' ? 1 : Math.ceil(duration / 1000),
        acquireTime: same ? (old.acquireTime ?? now) : now,
        renewTime: now,
        leaseTransitions: (old?.leaseTransitions ?? 0) + (same || holderIdentity === '' ? 0 : 1),
      },
    };
  };
  const write = async (holderIdentity: string, timeoutMs: number): Promise<void> => {
    const object = record(holderIdentity);
    observe(
      seen.object === undefined
        ? await client.create(LEASE, object, { timeoutMs })
        : await client.replace(LEASE, object, { timeoutMs }),
    );
  };
  const read = async (timeoutMs: number): Promise<void> => {
    observe(
      await client
        .get(LEASE, ref, { timeoutMs })
        .catch((error: unknown) => (isNotFound(error) ? undefined : Promise.reject(error as Error))),
    );
  };

  /** One try to acquire or renew. True: the Lease was ours when the try started. */
  const tryHold = async (timeoutMs: number): Promise<boolean> => {
    const started = { monotonic: monotonicNow(), wall: clock.now() };
    if (term === undefined) {
      await read(timeoutMs);
      if (!isFree()) return false;
    }
    try {
      await write(identity, timeoutMs);
    } catch (error) {
      if (!isConflict(error) && !isAlreadyExists(error) && !isNotFound(error)) throw error;
      // Somebody wrote in between: see who, and judge at the next try. Its holder makes a deleted Lease anew at once.
      await read(timeoutMs);
      if (term === undefined || seen.object !== undefined) return false;
      await write(identity, timeoutMs);
    }
    const until = { monotonic: started.monotonic + renewDeadline, wall: started.wall + renewDeadline };
    if (term === undefined) begin(until);
    else term.until = until;
    return true;
  };

  const begin = (until: { monotonic: number; wall: number }): void => {
    const end = new AbortController();
    log.info({ lease: name, identity }, 'leading');
    metrics?.leader(name, true);
    const mine = { until, end, ended: Promise.resolve() };
    term = mine;
    mine.ended = Promise.resolve()
      .then(() => options.lead(end.signal))
      .catch((error: unknown) => {
        log.error({ err: error, lease: name }, 'the work of the leader failed');
        // Leading without working helps nobody: this term ends at the next look, and another one may begin.
        end.abort(error);
      });
  };
  const endTerm = async (reason: string): Promise<void> => {
    if (term === undefined) return;
    const { end, ended } = term;
    const patience = stopping.signal.aborted ? Math.max(1, writeTimeMs()) : END_MS;
    end.abort(new Error(`no longer leading: ${reason}`));
    metrics?.leader(name, false);
    const waiting = new AbortController();
    const late = clock.sleep(patience, waiting.signal).then(
      () => true,
      () => false,
    );
    const stuck = await Promise.race([ended.then(() => false), late]);
    waiting.abort();
    if (stuck) throw new Error(`lease ${name}: the work of the leader does not end (${reason})`);
    term = undefined;
    log.info({ lease: name, identity, reason }, 'not leading any more');
  };

  const attempt = async (): Promise<void> => {
    const left = term === undefined ? renewDeadline : term.until.monotonic - monotonicNow();
    let why = 'could not renew in time';
    try {
      const held = await tryHold(Math.max(1, Math.min(renewDeadline / 2, left)));
      if (!held && term !== undefined && !isOurs()) {
        term.until = OVER;
        why = 'another holds the lease';
      }
    } catch (error) {
      log.warn({ err: error, lease: name }, 'cannot reach the lease');
    }
    if (term !== undefined && !leads()) await endTerm(why);
  };
  /** Sleeps until the next try, or until the term runs out. */
  const pause = async (): Promise<void> => {
    // A candidate only reads; it looks twice as often, so that a released Lease is taken up soon.
    const period = (term === undefined ? retryPeriod / 2 : retryPeriod) * (1 + 0.2 * random());
    const left = term === undefined ? period : Math.max(0, term.until.monotonic - monotonicNow());
    await clock.sleep(Math.min(period, left), stopping.signal).catch(() => undefined);
    if (term !== undefined && !leads()) await endTerm('the term ran out');
  };
  const release = async (timeoutMs: number): Promise<void> => {
    if (!isOurs()) return;
    try {
      await write('', timeoutMs);
    } catch (error) {
      if (!isConflict(error)) throw error;
      // The last renewal may have happened without an answer.
      await read(timeoutMs);
      if (isOurs()) await write('', timeoutMs);
    }
  };
  const loop = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      await attempt();
      if (!stopping.signal.aborted) await pause();
    }
    const held = term !== undefined;
    try {
      await endTerm('stopping');
      if (held) await release(renewDeadline / 2);
    } catch (error) {
      log.warn({ err: error, lease: name }, 'the lease was not released; it runs out by itself');
    }
  };
  const over = loop();

  return {
    leads,
    writeTimeMs,
    holder: () => seen.object?.spec?.holderIdentity || undefined,
    over,
    async stop() {
      stopping.abort();
      await over.catch(() => undefined);
    },
  };
}

/**
 * Says that nobody leads, so that the first candidate starts at once: without a Lease it waits for as long as one that was
 * just deleted would have bound it. For whoever knows, because the cluster or the namespace is new. Changes none that is there.
 */
export async function createVacantLease(
  client: Pick<KubeClient, 'create'>,
  { namespace, name }: { namespace: string; name: string },
): Promise<void> {
  await client.create(LEASE, { metadata: { namespace, name }, spec: {} }).catch((error: unknown) => {
    if (!isAlreadyExists(error)) throw error;
  });
}
