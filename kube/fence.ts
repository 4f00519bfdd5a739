/**
 * A client that writes only while its holder leads. A process that stood still (a suspended machine, a long garbage
 * collection) goes on in the middle of its work before any timer of the election runs: it asks before each write.
 */
import { DEFAULT_TIMEOUT_MS, type KubeClient, type RawRequest } from './client.js';
import { KubeError } from './errors.js';

/** `writeTimeMs`: how long a write that begins now may take (see lease.ts). At 0 a write rejects with a KubeError, and nothing is sent. */
export function fencedClient(client: KubeClient, writeTimeMs: () => number): KubeClient {
  const within = (call: string, timeoutMs: number | undefined): { timeoutMs: number } => {
    const left = writeTimeMs();
    if (left <= 0) throw new KubeError(`${call}: not leading any more`, { code: 0, reason: 'NotLeading' });
    return { timeoutMs: Math.min(timeoutMs ?? DEFAULT_TIMEOUT_MS, left) };
  };
  return {
    ...client,
    create: async (kind, object, options) =>
      client.create(kind, object, { ...options, ...within(`create ${kind.plural}`, options?.timeoutMs) }),
    replace: async (kind, object, options) =>
      client.replace(kind, object, { ...options, ...within(`replace ${kind.plural}`, options?.timeoutMs) }),
    patch: async (kind, ref, body, options) =>
      client.patch(kind, ref, body, { ...options, ...within(`patch ${kind.plural}`, options.timeoutMs) }),
    apply: async (kind, object, options) =>
      client.apply(kind, object, { ...options, ...within(`apply ${kind.plural}`, options.timeoutMs) }),
    delete: async (kind, ref, options) =>
      client.delete(kind, ref, { ...options, ...within(`delete ${kind.plural}`, options?.timeoutMs) }),
    raw: async (request) =>
      client.raw({
        ...request,
        ...(isWrite(request) ? within(`${request.method} ${request.path}`, request.timeoutMs) : {}),
      }),
  };
}

const isWrite = ({ method = 'GET' }: RawRequest): boolean => method !== 'GET';
