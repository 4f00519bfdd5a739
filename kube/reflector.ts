/**
 * Keeps a handler in step with one kind on the server: paged list, then watch, for ever.
 * Why not client-node's informer: it lists in one piece, asks for no bookmarks, stops for good on unknown errors, and can
 * reconnect after it was stopped.
 */
import { fullJitter } from './backoff.js';
import { keyOf } from './cache.js';
import { isGone, KubeError, type KubeClient } from './client.js';
import type { KindOf } from './kinds.js';
import type { Log } from './log.js';
import type { KubeMetrics } from './metrics.js';
import type { Clock, KubeList, KubeObject, WatchEvent } from './types.js';

export interface ReflectorHandler<T> {
  /** New or changed. `old` is what this handler was told before. */
  upsert(object: T, old?: T): void;
  /** The last state that the server told. */
  remove(object: T): void;
  /** Once, after the first complete list. */
  synced?(): void;
}

export interface ReflectorOptions<T extends KubeObject> {
  client: Pick<KubeClient, 'list' | 'watch'>;
  kind: KindOf<T>;
  namespace?: string | undefined;
  labelSelector?: string | undefined;
  fieldSelector?: string | undefined;
  /** Makes the object smaller before it is kept; managedFields are always dropped. May change its argument. */
  transform?: (object: T) => T;
  /** What it throws is logged and counted; it never stops the reflector. */
  handler: ReflectorHandler<T>;
  clock: Clock;
  log: Log;
  metrics?: KubeMetrics | undefined;
  signal?: AbortSignal | undefined;
  /** For log and metrics; default: the plural. */
  name?: string;
  pageSize?: number;
  silenceMs?: number;
  random?: () => number;
}

export interface Reflector {
  /** true after the first complete list; false when stopped before. Never rejects. */
  synced: Promise<boolean>;
  hasSynced(): boolean;
  /** When the server last said anything (list page, event or bookmark), by the given clock; 0 before. */
  lastContact(): number;
  /** Resolves when the loop has ended; nothing reaches the handler after `stop` was called. */
  stop(): Promise<void>;
}

const PAGE_SIZE = 500;
/** client-go waits up to 30 s; blind that long is too long here, and a few programs asking every 2.5 s on average hurt no server. */
const BACKOFF = { baseMs: 200, capMs: 5_000 };
/** A watch that ends sooner without an event is a failure in disguise: no resume at once. */
const SHORT_WATCH_MS = 1_000;
/** The server ends each watch after 5 to 10 minutes, jittered so that the reflectors of a fleet do not come back together. */
const WATCH_SECONDS = { min: 300, spread: 300 };
const LIST_TIMEOUT_MS = 60_000;

export function startReflector<T extends KubeObject>(options: ReflectorOptions<T>): Reflector {
  const { client, kind, handler, clock, log, metrics, random = Math.random } = options;
  const name = options.name ?? kind.plural;
  const scope = {
    namespace: options.namespace,
    labelSelector: options.labelSelector,
    fieldSelector: options.fieldSelector,
  };
  const stopping = new AbortController();
  const { signal } = stopping;
  const known = new Map<string, T>();
  let version: string | undefined;
  let failures = 0;
  let goneInARow = 0;
  let synced = false;
  let lastContact = 0;
  let settle: (value: boolean) => void;
  const syncedPromise = new Promise<boolean>((resolve) => (settle = resolve));

  const tell = (what: string, run: () => void): void => {
    if (signal.aborted) return;
    try {
      run();
    } catch (error) {
      metrics?.reflector({ name, event: 'handler_error' });
      log.error({ err: error, reflector: name }, `a handler failed on ${what}`);
    }
  };
  const shrink = (object: T): T => {
    delete object.metadata.managedFields;
    return options.transform === undefined ? object : options.transform(object);
  };
  const upsert = (raw: T): string => {
    const key = keyOf(raw);
    const old = known.get(key);
    // The same version twice (a resumed watch, a re-list) is no news.
    if (old?.metadata.resourceVersion !== undefined && old.metadata.resourceVersion === raw.metadata.resourceVersion)
      return key;
    const object = shrink(raw);
    known.set(key, object);
    metrics?.reflector({ name, event: 'event' });
    tell('upsert', () => handler.upsert(object, old));
    return key;
  };
  const remove = (object: T): void => {
    if (!known.delete(keyOf(object))) return;
    metrics?.reflector({ name, event: 'event' });
    tell('remove', () => handler.remove(object));
  };

  /** Pages are handed on as they come; what the server no longer has is removed at the end. */
  const list = async (limit: number | undefined): Promise<string> => {
    const seen = new Set<string>();
    let page: KubeList<T> | undefined;
    do {
      page = await client.list<T>(kind, {
        ...scope,
        limit,
        continue: page?.metadata.continue,
        signal,
        timeoutMs: LIST_TIMEOUT_MS,
      });
      signal.throwIfAborted();
      lastContact = clock.now();
      for (const object of page.items) seen.add(upsert(object));
    } while (page.metadata.continue);
    for (const [key, object] of [...known]) if (!seen.has(key)) remove(object);
    return page.metadata.resourceVersion ?? '';
  };
  const relist = async (): Promise<string> => {
    metrics?.reflector({ name, event: synced ? 'relist' : 'list' });
    try {
      return await list(options.pageSize ?? PAGE_SIZE);
    } catch (error) {
      // A continue token expires after five minutes: then all at once.
      if (!isGone(error)) throw error;
      return list(undefined);
    }
  };

  const onEvent = ({ type, object }: WatchEvent<T>): void => {
    if (signal.aborted) return;
    lastContact = clock.now();
    version = object.metadata.resourceVersion ?? version;
    if (type === 'DELETED') remove(shrink(object));
    else if (type !== 'BOOKMARK') upsert(object);
  };
  const watch = async (): Promise<void> => {
    const opened = clock.now();
    const before = version;
    metrics?.reflector({ name, event: 'watch' });
    await client.watch<T>(
      kind,
      {
        ...scope,
        resourceVersion: version,
        timeoutSeconds: Math.round(WATCH_SECONDS.min + random() * WATCH_SECONDS.spread),
        ...(options.silenceMs === undefined ? {} : { silenceMs: options.silenceMs }),
        signal,
      },
      (event) => {
        failures = 0;
        onEvent(event);
      },
    );
    if (version === before && clock.now() - opened < SHORT_WATCH_MS)
      throw new KubeError('the watch ended at once', { code: 0, reason: 'ConnectionFailed' });
    failures = 0;
    goneInARow = 0;
  };

  const turn = async (): Promise<void> => {
    if (version === undefined) {
      version = await relist();
      if (!synced) {
        synced = true;
        tell('synced', () => handler.synced?.());
        settle(true);
      }
    }
    await watch();
  };
  /** How long to wait after an error. Forgets the version when it is of no use any more. */
  const afterError = (error: unknown): number => {
    metrics?.reflector({ name, event: 'error' });
    // 410 comes from a server that works: however long it was away, list soon.
    goneInARow = isGone(error) ? goneInARow + 1 : 0;
    const jittered = fullJitter(goneInARow > 0 ? goneInARow - 1 : failures, BACKOFF, random);
    failures++;
    // A server that cannot read our version (restored from a backup) answers 400 or 500 for ever; a list heals it.
    const refused = error instanceof KubeError && error.code >= 400 && failures % 5 === 0;
    if (goneInARow > 0 || refused) version = undefined;
    const retryAfterMs = error instanceof KubeError ? (error.retryAfterMs ?? 0) : 0;
    log[failures > 3 ? 'warn' : 'debug'](
      { err: error, reflector: name, failures },
      'list or watch failed, trying again',
    );
    return retryAfterMs + jittered;
  };
  const loop = async (): Promise<void> => {
    while (!signal.aborted) {
      try {
        await turn();
      } catch (error) {
        if (signal.aborted) break;
        // An aborted wait rejects; the loop's condition ends it.
        await clock.sleep(afterError(error), signal).catch(() => undefined);
      }
    }
  };

  const onOuterAbort = (): void => stopping.abort();
  if (options.signal?.aborted === true) stopping.abort();
  options.signal?.addEventListener('abort', onOuterAbort, { once: true });
  const ended = loop().finally(() => {
    options.signal?.removeEventListener('abort', onOuterAbort);
    settle(false);
  });

  return {
    synced: syncedPromise,
    hasSynced: () => synced,
    lastContact: () => lastContact,
    async stop() {
      stopping.abort();
      await ended;
    },
  };
}
