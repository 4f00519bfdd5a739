/** Server-side apply for children, skipped when what is declared was applied already. */
import { createHash } from 'node:crypto';
import type { KubeClient } from './client.js';
import type { KindOf } from './kinds.js';
import type { KubeObject } from './types.js';

/** A hash of a JSON value that does not depend on the order of keys nor on undefined fields. */
export function stableHash(value: unknown): string {
  return createHash('sha256').update(canonical(value)).digest('base64url').slice(0, 22);
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((entry) => canonical(entry ?? null)).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const entries = Object.entries(value)
    .filter(([, entry]) => entry !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, entry]) => `${JSON.stringify(key)}:${canonical(entry)}`);
  return `{${entries.join(',')}}`;
}

export interface Applier {
  /**
   * Makes the server's object have what `desired` says; fields that earlier applies set and this one does not are removed.
   * With `existing` (from a cache) that carries the same hash, nothing is written: hand edits of owned fields are then not
   * undone until the declaration changes. Answers the object.
   */
  apply<T extends KubeObject>(kind: KindOf<T>, desired: T, existing?: T): Promise<T>;
}

/** `hashAnnotation` is where the hash of the declaration is kept. Conflicts with other field managers are won (force). */
export function createApplier(options: {
  client: Pick<KubeClient, 'apply'>;
  fieldManager: string;
  hashAnnotation: string;
}): Applier {
  const { client, fieldManager, hashAnnotation } = options;
  return {
    async apply(kind, desired, existing) {
      const hash = stableHash(desired);
      if (existing !== undefined && existing.metadata.annotations?.[hashAnnotation] === hash) return existing;
      const annotations = { ...desired.metadata.annotations, [hashAnnotation]: hash };
      const object = { ...desired, metadata: { ...desired.metadata, annotations } };
      return client.apply(kind, object, { fieldManager, force: true });
    },
  };
}
