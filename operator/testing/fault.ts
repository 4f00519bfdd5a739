/** What can go wrong with a call to a Kubernetes API. */

export type Verb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete';

export interface Call {
  verb: Verb;
  /** The plural, without subresource. */
  resource: string;
  subresource: string | undefined;
  /** By performance.now(). */
  at: number;
  /** When it left for the API server; undefined: it never did. */
  forwardedAt?: number;
}

/**
 * `refuse`: that answer, and nothing is done; `lose`: it is done, and the answer cut; `delay`: it comes late;
 * `gone`: a watch that is accepted and ends with 410; `cut`: the connection ends after that many bytes of the answer's body.
 */
export type Fault =
  | { kind: 'refuse'; code: number; reason: string; message?: string; retryAfter?: number }
  | { kind: 'lose' }
  | { kind: 'delay'; ms: number }
  | { kind: 'gone' }
  | { kind: 'cut'; bytes: number };

const WRITES = { POST: 'create', PUT: 'update', PATCH: 'patch', DELETE: 'delete' } as const;

export function callOf(method: string, url: string): Call {
  const { pathname, searchParams } = new URL(url, 'http://x');
  const [, , resource = '', name, subresource] =
    /^\/(?:api|apis\/[^/]+)\/([^/]+)(?:\/namespaces\/[^/]+)?\/([^/]+)(?:\/([^/]+))?(?:\/([^/]+))?$/.exec(pathname) ??
    [];
  const read = searchParams.get('watch') === 'true' ? 'watch' : name === undefined ? 'list' : 'get';
  const verb = method in WRITES ? WRITES[method as keyof typeof WRITES] : read;
  return { verb, resource, subresource, at: performance.now() };
}

export const isWrite = ({ verb }: Call): boolean => ['create', 'update', 'patch', 'delete'].includes(verb);

export const CONFLICT: Fault = { kind: 'refuse', code: 409, reason: 'Conflict' };
export const UNAVAILABLE: Fault = { kind: 'refuse', code: 503, reason: 'ServiceUnavailable' };
const REFUSALS: Fault[] = [
  CONFLICT,
  { kind: 'refuse', code: 429, reason: 'TooManyRequests' },
  { kind: 'refuse', code: 500, reason: 'InternalError' },
  UNAVAILABLE,
];

/** xorshift32: 0 to 1. */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** That share of the calls fails: half of them are refused, half are done and their answer (or the watch) cut. */
export function storm(seed: number, rate: number): (call: Call) => Fault | undefined {
  const random = seeded(seed);
  return () => {
    if (random() >= rate) return undefined;
    return random() < 0.5 ? REFUSALS[Math.floor(random() * REFUSALS.length)] : { kind: 'lose' };
  };
}
