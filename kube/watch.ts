/** One watch from open to end: no retries here, that is the reflector's work. */
import type { WatchOptions } from './client.js';
import { errorOf, KubeError, parseRetryAfter } from './errors.js';
import type { KindOf } from './kinds.js';
import type { KubeMetrics } from './metrics.js';
import { createNdjsonParser, NdjsonError } from './ndjson.js';
import { queryString, resourcePath } from './paths.js';
import { networkError, type HttpStream, type Transport } from './transport.js';
import type { KubeObject, Status, WatchEvent } from './types.js';

/** etcd refuses objects above 1.5 MB; JSON and managedFields may triple that. */
const MAX_LINE_BYTES = 8 * 1024 * 1024;
const MAX_ERROR_BYTES = 64 * 1024;
/** The server answers a watch at once; only a starting watch cache takes longer. */
const HEADERS_MS = 30_000;
/** A real server sends a bookmark about once a minute; half a minute of slack on top. */
export const DEFAULT_SILENCE_MS = 90_000;

const TYPES = new Set(['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK', 'ERROR']);

export interface WatchTarget<T extends KubeObject> {
  transport: Transport;
  kind: KindOf<T>;
  headers: Record<string, string>;
  /** Of the API server, for metrics. */
  host: string;
  metrics: KubeMetrics | undefined;
}

/** See KubeClient.watch. */
export async function runWatch<T extends KubeObject>(
  target: WatchTarget<T>,
  options: WatchOptions,
  onEvent: (event: WatchEvent<T>) => void,
): Promise<void> {
  const { namespace, labelSelector, fieldSelector, resourceVersion, timeoutSeconds, signal } = options;
  const path = resourcePath(target.kind, namespace === undefined ? {} : { namespace });
  const query = {
    watch: true,
    allowWatchBookmarks: true,
    labelSelector,
    fieldSelector,
    resourceVersion,
    timeoutSeconds,
  };
  const call = `watch ${path}`;
  signal?.throwIfAborted();

  const started = performance.now();
  const opened = (code: number): void =>
    target.metrics?.request({
      method: 'GET',
      host: target.host,
      code,
      seconds: (performance.now() - started) / 1000,
    });
  const stream = await target.transport
    .stream({
      method: 'GET',
      path: path + queryString(query),
      headers: target.headers,
      signal,
      headersMs: HEADERS_MS,
      silenceMs: options.silenceMs ?? DEFAULT_SILENCE_MS,
    })
    .catch((error: unknown) => {
      opened(0);
      throw error;
    });
  opened(stream.code);
  let own: { error: unknown } | undefined;
  const deliver = (value: unknown): void => {
    const event = eventOf<T>(value, call);
    try {
      onEvent(event);
    } catch (error) {
      own = { error };
      throw error;
    }
  };
  try {
    if (stream.code !== 200) throw await refusal(stream, call);
    options.onOpen?.();
    const parser = createNdjsonParser(MAX_LINE_BYTES, deliver);
    for await (const chunk of stream.body) {
      parser.push(chunk);
      signal?.throwIfAborted();
    }
    if (parser.pendingBytes() > 0)
      throw new KubeError(`${call}: cut inside a line`, { code: 0, reason: 'ConnectionFailed' });
  } catch (error) {
    if (own !== undefined) throw own.error;
    if (error instanceof NdjsonError)
      throw new KubeError(`${call}: ${error.message}`, { code: 0, reason: 'BadAnswer', cause: error });
    throw error instanceof KubeError && error.code !== 0 ? error : networkError(error, signal, call);
  } finally {
    await stream.destroy();
  }
}

/** @throws KubeError for an ERROR event (410 among them) and for what is no watch event. */
function eventOf<T extends KubeObject>(value: unknown, call: string): WatchEvent<T> {
  const event = value as Partial<WatchEvent<T>> | null;
  if (
    event === null ||
    typeof event !== 'object' ||
    !TYPES.has(event.type ?? '') ||
    event.object?.metadata === undefined
  ) {
    const status = event?.type === 'ERROR' ? event.object : undefined;
    if (status === undefined) throw new KubeError(`${call}: not a watch event`, { code: 0, reason: 'BadAnswer' });
  }
  if (event?.type === 'ERROR') {
    const status = event.object as unknown as Status;
    throw errorOf({ code: status.code ?? 500, body: status, call });
  }
  return event as WatchEvent<T>;
}

async function refusal(stream: HttpStream, call: string): Promise<KubeError> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream.body) {
    size += chunk.length;
    if (size > MAX_ERROR_BYTES) break;
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString('utf8');
  let body: unknown = text;
  try {
    body = JSON.parse(text);
  } catch {
    // A proxy's page: errorOf tells its first characters.
  }
  const header = stream.headers['retry-after'];
  return errorOf({
    code: stream.code,
    body,
    retryAfterMs: parseRetryAfter(Array.isArray(header) ? header[0] : header, Date.now()),
    call,
  });
}
