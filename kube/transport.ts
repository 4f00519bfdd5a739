/** HTTP to one API server: a keep-alive pool for requests, and a connection of its own for every watch. */
import { createHash } from 'node:crypto';
import { Agent, Client, ProxyAgent, type Dispatcher } from 'undici';
import type { KubeConfig, TlsMaterial } from './config.js';
import { KubeError } from './errors.js';

export interface HttpRequest {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** With query. */
  path: string;
  body?: string;
  headers?: Record<string, string>;
  signal?: AbortSignal | undefined;
  timeoutMs: number;
  maxBytes: number;
}

export interface HttpAnswer {
  code: number;
  headers: Record<string, string | string[] | undefined>;
  body: Buffer;
}

export interface HttpStream {
  code: number;
  headers: Record<string, string | string[] | undefined>;
  body: AsyncIterable<Buffer>;
  /** Closes the connection of this stream. */
  destroy(): Promise<void>;
}

const CONNECT_TIMEOUT_MS = 10_000;
/** Requests that wait in line behind this many are still answered in order; HTTP/1.1 needs one connection each. */
const MAX_CONNECTIONS = 32;
/** The API server closes idle connections after 90 s or more; giving up earlier avoids racing it. */
const KEEP_ALIVE_MS = 30_000;
/** Node asks the kernel for a probe after this silence, then one a second: a dead peer is noticed in about 20 s. */
const TCP_KEEP_ALIVE_MS = 10_000;

const connectOptions = (tls: TlsMaterial) => ({
  ...tls,
  timeout: CONNECT_TIMEOUT_MS,
  keepAlive: true,
  keepAliveInitialDelay: TCP_KEEP_ALIVE_MS,
});

function fingerprint(tls: TlsMaterial): string {
  const hash = createHash('sha256');
  for (const part of [tls.ca, tls.cert, tls.key, tls.servername, String(tls.rejectUnauthorized)])
    hash.update(part ?? '').update('\0');
  return hash.digest('base64');
}

export interface Transport {
  request(request: HttpRequest): Promise<HttpAnswer>;
  /** On a connection of its own. `silenceMs` bounds the time to the headers and between two pieces of the body. */
  stream(
    request: Omit<HttpRequest, 'timeoutMs' | 'maxBytes'> & { headersMs: number; silenceMs: number },
  ): Promise<HttpStream>;
  close(): Promise<void>;
}

export function createTransport(config: KubeConfig): Transport {
  const { origin, pathname } = new URL(config.server);
  const base = pathname.replace(/\/+$/, '');
  let pool: { key: string; dispatcher: Dispatcher } | undefined;

  const open = (tls: TlsMaterial, connections: number): Dispatcher => {
    const connect = connectOptions(tls);
    const shared = { connections, keepAliveTimeout: KEEP_ALIVE_MS, pipelining: 1 };
    if (config.proxyUrl === undefined) return new Agent({ ...shared, connect });
    return new ProxyAgent({ ...shared, uri: config.proxyUrl, requestTls: connect });
  };
  /** One pool for all requests; a new one only when certificates change. */
  const poolFor = (tls: TlsMaterial): Dispatcher => {
    const key = fingerprint(tls);
    if (pool?.key !== key) {
      void pool?.dispatcher.close().catch(() => undefined);
      pool = { key, dispatcher: open(tls, MAX_CONNECTIONS) };
    }
    return pool.dispatcher;
  };

  const requestOnce = async (request: HttpRequest, signal: AbortSignal): Promise<HttpAnswer> => {
    const { headers, tls } = await config.credentials();
    const answer = await poolFor(tls).request({
      origin,
      path: base + request.path,
      method: request.method,
      headers: { ...request.headers, ...headers },
      body: request.body ?? null,
      signal,
      // The deadline of the whole call is the caller's timer.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    return { code: answer.statusCode, headers: answer.headers, body: await readBody(answer.body, request.maxBytes) };
  };

  return {
    async request(request) {
      return deadline(request.timeoutMs, request.signal, async (signal) => {
        const answer = await retryStale(request.method, signal, () => requestOnce(request, signal));
        if (answer.code !== 401) return answer;
        // The token may have been rotated under us: once more with fresh credentials; a 401 is refused before it has effect.
        await config.credentials(true);
        return requestOnce(request, signal);
      });
    },

    async stream({ headersMs, silenceMs, ...request }) {
      const { headers, tls } = await config.credentials();
      const dispatcher: Dispatcher =
        config.proxyUrl === undefined
          ? new Client(origin, {
              connect: connectOptions(tls),
              pipelining: 1,
              headersTimeout: headersMs,
              bodyTimeout: silenceMs,
            })
          : open(tls, 1);
      try {
        const answer = await dispatcher.request({
          origin,
          path: base + request.path,
          method: request.method,
          headers: { ...request.headers, ...headers },
          body: request.body ?? null,
          signal: request.signal ?? null,
          headersTimeout: headersMs,
          bodyTimeout: silenceMs,
        });
        if (answer.statusCode === 401) await config.credentials(true).catch(() => undefined);
        return {
          code: answer.statusCode,
          headers: answer.headers,
          body: answer.body,
          destroy: () => dispatcher.destroy(),
        };
      } catch (error) {
        await dispatcher.destroy();
        throw networkError(error, request.signal, `watch ${request.path.split('?')[0]}`);
      }
    },

    async close() {
      await pool?.dispatcher.destroy();
      pool = undefined;
    },
  };
}

/** A kept-alive connection may be closed by the server while we use it. Only reads are safe to send again. */
async function retryStale<T>(method: string, signal: AbortSignal, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    const code = (error as { code?: unknown }).code;
    const stale = code === 'UND_ERR_SOCKET' || code === 'ECONNRESET' || code === 'EPIPE';
    if (!stale || method !== 'GET' || signal.aborted) throw error;
    return run();
  }
}

async function readBody(body: AsyncIterable<Buffer> & { destroy(): unknown }, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > maxBytes) {
      body.destroy();
      throw new KubeError(`an answer is larger than ${maxBytes} bytes`, { code: 0, reason: 'TooLarge' });
    }
    chunks.push(chunk);
  }
  return chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, size);
}

const timedOut = Symbol('timed out');

/** Runs with a signal that is aborted by the caller's signal or by the clock; leaves no listener or timer behind. */
async function deadline<T>(
  ms: number,
  outer: AbortSignal | undefined,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  outer?.throwIfAborted();
  const controller = new AbortController();
  const onAbort = (): void => controller.abort(outer?.reason);
  outer?.addEventListener('abort', onAbort, { once: true });
  const timer = setTimeout(() => controller.abort(timedOut), ms);
  try {
    return await run(controller.signal);
  } catch (error) {
    if (controller.signal.reason === timedOut) {
      throw new KubeError(`no answer within ${ms} ms`, {
        code: 0,
        reason: 'Timeout',
        cause: error === timedOut ? undefined : error,
      });
    }
    throw error;
  } finally {
    clearTimeout(timer);
    outer?.removeEventListener('abort', onAbort);
  }
}

/** A failure without an answer as a KubeError; the caller's own abort stays what it was. */
export function networkError(error: unknown, signal: AbortSignal | undefined, call: string): unknown {
  if (signal?.aborted === true) return signal.reason;
  if (error instanceof KubeError)
    return new KubeError(`${call}: ${error.message}`, { ...facts(error), cause: error.cause });
  const code = (error as { code?: string }).code ?? 'unknown';
  const reason = /TIMEOUT/.test(code) ? 'Timeout' : 'ConnectionFailed';
  return new KubeError(`${call}: ${code} ${(error as Error).message}`, { code: 0, reason, cause: error });
}

const facts = ({ code, reason }: KubeError) => ({ code, reason });
