/** A small typed Kubernetes client: the verbs that controllers use, on one pool of connections. */
import { loadKubeConfig, kubeConfigOf, KubeConfigError, type KubeConfig } from './config.js';
import { errorOf, KubeError, parseRetryAfter } from './errors.js';
import { apiVersionOf, type KindOf } from './kinds.js';
import type { KubeMetrics } from './metrics.js';
import { queryString, resourcePath, type Query, type Ref } from './paths.js';
import { createServerTime } from './servertime.js';
import { createTransport, networkError, type HttpAnswer } from './transport.js';
import type { KubeList, KubeObject, WatchEvent } from './types.js';
import { runWatch } from './watch.js';

export { loadKubeConfig, kubeConfigOf, KubeConfigError, type KubeConfig };
export * from './errors.js';
export type { Ref, Query };

/** Of one call, where nothing else is asked for. */
export const DEFAULT_TIMEOUT_MS = 30_000;

export interface CallOptions {
  signal?: AbortSignal | undefined;
  /** Of the whole call; default 30 s. */
  timeoutMs?: number;
}

export interface ListOptions extends CallOptions {
  /** Without: all namespaces. */
  namespace?: string | undefined;
  labelSelector?: string | undefined;
  fieldSelector?: string | undefined;
  limit?: number | undefined;
  continue?: string | undefined;
  resourceVersion?: string | undefined;
  resourceVersionMatch?: 'Exact' | 'NotOlderThan' | undefined;
}

export interface WriteOptions extends CallOptions {
  subresource?: string;
  fieldManager?: string;
  dryRun?: boolean;
}

export interface PatchOptions extends WriteOptions {
  type: 'merge' | 'json' | 'apply' | 'strategic';
  /** `apply` only: take over fields that other managers own. */
  force?: boolean;
}

export interface ApplyOptions extends WriteOptions {
  fieldManager: string;
  force?: boolean;
}

export interface DeleteOptions extends CallOptions {
  propagation?: 'Background' | 'Foreground' | 'Orphan';
  gracePeriodSeconds?: number;
  preconditions?: { uid?: string; resourceVersion?: string };
  dryRun?: boolean;
}

export interface WatchOptions {
  namespace?: string | undefined;
  labelSelector?: string | undefined;
  fieldSelector?: string | undefined;
  resourceVersion?: string | undefined;
  /** The server ends the watch cleanly after this; default: its own 30 to 60 minutes. */
  timeoutSeconds?: number;
  /** Silence (no event, no bookmark) after which the connection is held to be dead; default 90 s. */
  silenceMs?: number;
  signal?: AbortSignal | undefined;
  /** The server accepted the watch. */
  onOpen?: () => void;
}

export interface RawRequest extends CallOptions {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Without query: `/api/v1/namespaces/default/pods/a/log`. */
  path: string;
  query?: Query;
  body?: string;
  headers?: Record<string, string>;
  maxBytes?: number;
}

/** An object to write: only a name (or generateName) is needed. */
export type Desired<T extends KubeObject> = T;

/**
 * Every call rejects with a KubeError, or with the reason of `signal` when the caller aborted.
 * It is an interface so that a test can wrap single verbs: `{ ...client, patch: failOnce(client.patch) }`.
 */
export interface KubeClient {
  readonly config: KubeConfig;
  /** ms since 1970 by the API server's clock, as far as its answers tell (servertime.ts). Never jumps with the own one. */
  now(): number;
  list<T extends KubeObject = KubeObject>(kind: KindOf<T>, options?: ListOptions): Promise<KubeList<T>>;
  get<T extends KubeObject = KubeObject>(kind: KindOf<T>, ref: Ref, options?: CallOptions): Promise<T>;
  /** Namespace from the object. */
  create<T extends KubeObject = KubeObject>(kind: KindOf<T>, object: T, options?: WriteOptions): Promise<T>;
  /** With metadata.resourceVersion it fails with Conflict when the object changed. */
  replace<T extends KubeObject = KubeObject>(kind: KindOf<T>, object: T, options?: WriteOptions): Promise<T>;
  /** A merge patch with metadata.resourceVersion is conditional. */
  patch<T extends KubeObject = KubeObject>(kind: KindOf<T>, ref: Ref, body: unknown, options: PatchOptions): Promise<T>;
  /** Server-side apply; creates when absent. */
  apply<T extends KubeObject = KubeObject>(kind: KindOf<T>, object: T, options: ApplyOptions): Promise<T>;
  /** Resolves when the server accepted it; the object may live on until its finalizers are gone. */
  delete<T extends KubeObject = KubeObject>(kind: KindOf<T>, ref: Ref, options?: DeleteOptions): Promise<void>;
  /**
   * Calls `onEvent` for each event (bookmarks too) in order. Resolves when the server ends the watch cleanly; rejects on
   * anything else, with code 410 when `resourceVersion` is too old. What `onEvent` throws rejects it too.
   */
  watch<T extends KubeObject = KubeObject>(
    kind: KindOf<T>,
    options: WatchOptions,
    onEvent: (event: WatchEvent<T>) => void,
  ): Promise<void>;
  /** Anything else the server has; rejects for answers outside 2xx. */
  raw(request: RawRequest): Promise<{ code: number; headers: HttpAnswer['headers']; text: string }>;
  close(): Promise<void>;
}

export interface ClientOptions {
  /** Default 30 s. */
  timeoutMs?: number;
  /** Of one answer; default 64 MiB: a page of 500 large objects is far below. */
  maxBytes?: number;
  userAgent?: string;
  metrics?: KubeMetrics | undefined;
  /** The own wall clock, ms since 1970; for tests. */
  wallNow?: () => number;
}

const CONTENT_TYPES = {
  merge: 'application/merge-patch+json',
  json: 'application/json-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  // JSON is YAML; the API takes this type for server-side apply.
  apply: 'application/apply-patch+yaml',
} as const;

const single = (value: string | string[] | undefined): string | undefined => (Array.isArray(value) ? value[0] : value);

function parseBody(body: Buffer): unknown {
  const text = body.toString('utf8');
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

export function createClient(config: KubeConfig, options: ClientOptions = {}): KubeClient {
  const transport = createTransport(config);
  const time = createServerTime(options.wallNow ?? Date.now);
  const { metrics, timeoutMs: defaultTimeout = DEFAULT_TIMEOUT_MS, maxBytes: defaultMax = 64 * 1024 * 1024 } = options;
  const { host } = new URL(config.server);
  const base = { accept: 'application/json', 'user-agent': options.userAgent ?? 'kube-controller' };

  const send = async (request: RawRequest): Promise<HttpAnswer> => {
    const {
      method = 'GET',
      path,
      query = {},
      body,
      headers,
      signal,
      timeoutMs = defaultTimeout,
      maxBytes = defaultMax,
    } = request;
    const call = `${method} ${path}`;
    const started = performance.now();
    let code = 0;
    try {
      const answer = await transport.request({
        method,
        path: path + queryString(query),
        ...(body === undefined ? {} : { body }),
        headers: { ...base, ...headers },
        signal,
        timeoutMs,
        maxBytes,
      });
      code = answer.code;
      time.note(single(answer.headers['date']), { began: started, ended: performance.now() });
      if (code >= 200 && code < 300) return answer;
      const retryAfterMs = parseRetryAfter(single(answer.headers['retry-after']), time.now());
      throw errorOf({ code, body: parseBody(answer.body), retryAfterMs, call });
    } catch (error) {
      throw error instanceof KubeError && error.code !== 0 ? error : networkError(error, signal, call);
    } finally {
      metrics?.request({ method, host, code, seconds: (performance.now() - started) / 1000 });
    }
  };

  const sendJson = async <T>(
    request: Omit<RawRequest, 'body'> & { json?: unknown; contentType?: string },
  ): Promise<T> => {
    const { json, contentType = 'application/json', ...rest } = request;
    const withBody =
      json === undefined ? rest : { ...rest, body: JSON.stringify(json), headers: { 'content-type': contentType } };
    const answer = await send(withBody);
    const body = parseBody(answer.body);
    if (typeof body === 'object' && body !== null) return body as T;
    throw new KubeError(`${request.method ?? 'GET'} ${request.path}: the answer is not JSON`, {
      code: 0,
      reason: 'BadAnswer',
    });
  };

  const call = ({ signal, timeoutMs }: CallOptions) => ({ signal, ...(timeoutMs === undefined ? {} : { timeoutMs }) });
  const writeQuery = ({ fieldManager, dryRun }: WriteOptions): Query => ({
    fieldManager,
    dryRun: dryRun === true ? 'All' : undefined,
  });
  const typed = <T extends KubeObject>(kind: KindOf<T>, object: T): T => ({
    apiVersion: apiVersionOf(kind),
    kind: kind.kind,
    ...object,
  });

  const client: KubeClient = {
    config,
    now: time.now,
    list: (kind, { namespace, signal, timeoutMs, ...query } = {}) =>
      sendJson({
        path: resourcePath(kind, { ...(namespace === undefined ? {} : { namespace }) }),
        query: { ...query },
        ...call({ signal, ...(timeoutMs === undefined ? {} : { timeoutMs }) }),
      }),
    get: (kind, ref, options = {}) => sendJson({ path: resourcePath(kind, ref), ...call(options) }),
    create: (kind, object, options = {}) => {
      const { name, namespace } = object.metadata;
      // A subresource (binding, eviction) is posted below its object.
      const target = {
        ...(namespace === undefined ? {} : { namespace }),
        ...(options.subresource === undefined ? {} : { name }),
      };
      return sendJson({
        method: 'POST',
        path: resourcePath(kind, target, options.subresource),
        query: writeQuery(options),
        json: typed(kind, object),
        ...call(options),
      });
    },
    replace: (kind, object, options = {}) =>
      sendJson({
        method: 'PUT',
        path: resourcePath(kind, object.metadata, options.subresource),
        query: writeQuery(options),
        json: typed(kind, object),
        ...call(options),
      }),
    patch: (kind, ref, body, options) =>
      sendJson({
        method: 'PATCH',
        path: resourcePath(kind, ref, options.subresource),
        query: { ...writeQuery(options), force: options.force },
        json: body,
        contentType: CONTENT_TYPES[options.type],
        ...call(options),
      }),
    apply: (kind, object, options) =>
      client.patch(kind, object.metadata, typed(kind, object), { ...options, type: 'apply' }),
    async delete(kind, ref, options = {}) {
      const json = {
        apiVersion: 'v1',
        kind: 'DeleteOptions',
        propagationPolicy: options.propagation ?? 'Background',
        gracePeriodSeconds: options.gracePeriodSeconds,
        preconditions: options.preconditions,
        dryRun: options.dryRun === true ? ['All'] : undefined,
      };
      await send({
        method: 'DELETE',
        path: resourcePath(kind, ref),
        body: JSON.stringify(json),
        headers: { 'content-type': 'application/json' },
        ...call(options),
      });
    },
    watch: (kind, options, onEvent) => runWatch({ transport, kind, headers: base, host, metrics }, options, onEvent),
    async raw(request) {
      const answer = await send(request);
      return { code: answer.code, headers: answer.headers, text: answer.body.toString('utf8') };
    },
    close: () => transport.close(),
  };
  return client;
}
