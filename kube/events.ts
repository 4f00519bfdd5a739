/**
 * Kubernetes Events for people who run `kubectl describe`. Fire and forget: never blocks, never throws, never more than the
 * bounds below; repeats are counted on one Event instead of making new ones.
 */
import { randomBytes } from 'node:crypto';
import { isNotFound, type KubeClient } from './client.js';
import { apiVersionOf, EVENT } from './kinds.js';
import type { Log } from './log.js';
import { rfc3339 } from './status.js';
import type { Clock, Kind, KubeObject } from './types.js';

export interface EventText {
  type?: 'Normal' | 'Warning';
  /** CamelCase, machine-readable. */
  reason: string;
  message: string;
}

export interface EventRecorder {
  record(kind: Kind, object: KubeObject, event: EventText): void;
  /** Sends the last few that wait, until the first failure; later ones are dropped. */
  stop(): Promise<void>;
  dropped(): number;
}

/** client-go's figures: 25 at once per object, then one in five minutes. */
const BURST = 25;
const REFILL_MS = 300_000;
const MAX_WAITING = 500;
const MAX_REMEMBERED = 2_000;
const REPEAT_MS = 600_000;
const MESSAGE_LIMIT = 1_024;
const TIMEOUT_MS = 5_000;

interface Job {
  key: string;
  kind: Kind;
  object: KubeObject;
  event: EventText;
  at: number;
}

/** Keeps the newest `limit` entries. */
function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  map.set(key, value);
  if (map.size > MAX_REMEMBERED) map.delete(map.keys().next().value as string);
}

export function createEventRecorder(options: {
  client: Pick<KubeClient, 'create' | 'patch'>;
  clock: Clock;
  log: Log;
  /** Who reports, e.g. `sandbox-controller`, and which instance of it. */
  component: string;
  instance: string;
}): EventRecorder {
  const { client, clock, log, component, instance } = options;
  const waiting: Job[] = [];
  const sent = new Map<string, { name: string; namespace: string; count: number; at: number }>();
  const buckets = new Map<string, { tokens: number; at: number }>();
  let sending: Promise<void> | undefined;
  let stopped = false;
  let dropped = 0;

  const allowed = (id: string, now: number): boolean => {
    const old = buckets.get(id) ?? { tokens: BURST, at: now };
    const tokens = Math.min(BURST, old.tokens + (now - old.at) / REFILL_MS);
    remember(buckets, id, { tokens: tokens < 1 ? tokens : tokens - 1, at: now });
    return tokens >= 1;
  };

  const create = async ({ key, kind, object, event, at }: Job): Promise<void> => {
    const { name, uid, resourceVersion } = object.metadata;
    // Events of cluster-scoped objects live in `default`.
    const namespace = object.metadata.namespace ?? 'default';
    const created = await client.create(
      EVENT,
      {
        metadata: { name: `${name.slice(0, 200)}.${randomBytes(8).toString('hex')}`, namespace },
        involvedObject: {
          apiVersion: apiVersionOf(kind),
          kind: kind.kind,
          name,
          ...(object.metadata.namespace === undefined ? {} : { namespace }),
          ...(uid === undefined ? {} : { uid }),
          ...(resourceVersion === undefined ? {} : { resourceVersion }),
        },
        type: event.type ?? 'Normal',
        reason: event.reason,
        message: event.message.slice(0, MESSAGE_LIMIT),
        count: 1,
        firstTimestamp: rfc3339(at),
        lastTimestamp: rfc3339(at),
        source: { component },
        reportingComponent: component,
        reportingInstance: instance,
      },
      { timeoutMs: TIMEOUT_MS },
    );
    remember(sent, key, { name: created.metadata.name, namespace, count: 1, at });
  };
  const send = async (job: Job): Promise<void> => {
    const old = sent.get(job.key);
    if (old === undefined || job.at - old.at > REPEAT_MS) return create(job);
    const count = old.count + 1;
    const body = { count, lastTimestamp: rfc3339(job.at) };
    try {
      await client.patch(EVENT, old, body, { type: 'merge', timeoutMs: TIMEOUT_MS });
      remember(sent, job.key, { ...old, count, at: job.at });
    } catch (error) {
      // Events expire after an hour or so.
      if (!isNotFound(error)) throw error;
      await create(job);
    }
  };
  const drain = async (): Promise<void> => {
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) {
      await send(job).catch((error: unknown) => {
        dropped++;
        // No time for a server that does not answer.
        if (stopped) waiting.length = 0;
        log.debug({ err: error, reason: job?.event.reason }, 'an event was not recorded');
      });
    }
    sending = undefined;
  };

  return {
    record(kind, object, event) {
      const now = clock.now();
      const id = object.metadata.uid ?? `${kind.kind}/${object.metadata.namespace ?? ''}/${object.metadata.name}`;
      if (stopped || waiting.length >= MAX_WAITING || !allowed(id, now)) {
        dropped++;
        return;
      }
      const key = [id, event.type ?? 'Normal', event.reason, event.message].join('\0');
      waiting.push({ key, kind, object, event, at: now });
      sending ??= drain();
    },
    async stop() {
      stopped = true;
      waiting.splice(20);
      await sending;
    },
    dropped: () => dropped,
  };
}
