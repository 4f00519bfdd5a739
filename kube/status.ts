/** The one way in which controllers write status: conditions by rule, one patch, and only when something changed. */
import { isDeepStrictEqual } from 'node:util';
import { isConflict, isNotFound, type KubeClient } from './client.js';
import type { KindOf } from './kinds.js';
import type { Condition, KubeObject } from './types.js';

export type ConditionUpdate = Pick<Condition, 'type' | 'status' | 'reason'> & {
  message?: string;
  observedGeneration?: number;
};

/** The API refuses longer messages. */
const MESSAGE_LIMIT = 32_768;

/**
 * The conditions with one of them set. `lastTransitionTime` moves only when `status` changes. Answers the same array when
 * nothing changed, so that callers can compare by identity.
 */
export function setCondition(
  conditions: readonly Condition[],
  update: ConditionUpdate,
  now: number,
): readonly Condition[] {
  const old = conditions.find(({ type }) => type === update.type);
  const next: Condition = {
    type: update.type,
    status: update.status,
    reason: update.reason,
    message: (update.message ?? '').slice(0, MESSAGE_LIMIT),
    lastTransitionTime: old?.status === update.status ? old.lastTransitionTime : rfc3339(now),
    ...(update.observedGeneration === undefined ? {} : { observedGeneration: update.observedGeneration }),
  };
  if (old === undefined) return [...conditions, next];
  if (isDeepStrictEqual(old, next)) return conditions;
  return conditions.map((condition) => (condition === old ? next : condition));
}

/** Several at once. */
export const setConditions = (
  conditions: readonly Condition[],
  updates: readonly ConditionUpdate[],
  now: number,
): readonly Condition[] => updates.reduce((all, update) => setCondition(all, update, now), conditions);

/** The API keeps whole seconds (metav1.Time); more would differ from what is read back. */
export const rfc3339 = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');

type Json = Record<string, unknown>;
const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
/** What JSON would keep: without undefined. */
const plain = (value: unknown): unknown => (value === undefined ? undefined : JSON.parse(JSON.stringify(value)));

/** The merge patch (RFC 7386) from `before` to `after`; undefined when they are equal. */
export function mergePatch(before: unknown, after: unknown): unknown {
  return diff(plain(before), plain(after));
}

function diff(before: unknown, after: unknown): unknown {
  if (!isObject(before) || !isObject(after)) return isDeepStrictEqual(before, after) ? undefined : after;
  const patch: Json = {};
  for (const key of Object.keys(before)) if (!(key in after)) patch[key] = null;
  for (const [key, value] of Object.entries(after)) {
    if (value === null && !(key in before)) continue;
    const part = diff(before[key], value);
    if (part !== undefined) patch[key] = part;
  }
  return Object.keys(patch).length === 0 ? undefined : patch;
}

export interface StatusWriter<T extends KubeObject & { status?: S }, S> {
  /**
   * Writes `compute(object)` when it differs from what is there: one conditional merge patch of the status subresource. After
   * a conflict the object is read and `compute` called again, so it must derive everything from its argument.
   * Answers the object as it is now, or undefined when it is gone (or another one has its name).
   * @throws KubeError, the conflict too after several rounds: answer retry then.
   */
  write(object: T, compute: (latest: T) => S): Promise<T | undefined>;
}

const ROUNDS = 4;

export function createStatusWriter<T extends KubeObject & { status?: S }, S>(options: {
  client: Pick<KubeClient, 'get' | 'patch'>;
  kind: KindOf<T>;
  fieldManager: string;
}): StatusWriter<T, S> {
  const { client, kind, fieldManager } = options;

  const once = async (object: T, compute: (latest: T) => S): Promise<T> => {
    const status = mergePatch(object.status ?? {}, compute(object));
    if (status === undefined) return object;
    const body = { metadata: { resourceVersion: object.metadata.resourceVersion, uid: object.metadata.uid }, status };
    return client.patch<T>(kind, object.metadata, body, { type: 'merge', subresource: 'status', fieldManager });
  };

  return {
    async write(object, compute) {
      let latest = object;
      for (let round = 1; ; round++) {
        try {
          return await once(latest, compute);
        } catch (error) {
          if (isNotFound(error)) return undefined;
          if (!isConflict(error) || round === ROUNDS) throw error;
        }
        const fresh = await client.get<T>(kind, object.metadata).catch((error: unknown) => {
          if (isNotFound(error)) return undefined;
          throw error;
        });
        if (fresh === undefined || fresh.metadata.uid !== object.metadata.uid) return undefined;
        latest = fresh;
      }
    },
  };
}
