/**
 * Calls to the agent server of a sandbox, straight to its pod. What comes back is hostile input: bounded in size and time,
 * checked by a schema where it is used. Errors never say the inner address.
 */
import { Agent, request, type Dispatcher, type FormData } from 'undici';
import { keyOf, portOf } from '../sandboxes/status.js';
import type { Sandbox } from '../../contracts/resources.js';

/** Where one agent server is and what opens it. */
export interface AgentEndpoint {
  /** `http://10.0.0.7:8000`. Not for users' eyes. */
  base: string;
  key: string;
}

export function endpointOf(sandbox: Sandbox, secret: string): AgentEndpoint | undefined {
  const ip = sandbox.status?.podIP;
  const key = keyOf(sandbox, secret);
  if (ip === undefined || ip === '' || key === undefined) return undefined;
  return { base: `http://${ip.includes(':') ? `[${ip}]` : ip}:${portOf(sandbox, 'agent')}`, key };
}

/** `status` 0: no answer (refused, cut, too slow, too large). */
export class AgentError extends Error {
  override readonly name = 'AgentError';
  constructor(
    message: string,
    readonly status: number,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }
}

export interface AgentCall {
  method?: 'GET' | 'POST' | 'PATCH' | 'DELETE' | 'PUT';
  /** Below the base, with its query. */
  path: string;
  body?: unknown;
  /** Instead of a body. */
  form?: FormData;
  /** Of the whole call; default 15 s. */
  timeoutMs?: number;
  maxBytes?: number;
  signal?: AbortSignal | undefined;
}

export interface AgentAnswer {
  status: number;
  type: string;
  bytes: Buffer;
}

export interface AgentHttp {
  /** Any answer. Rejects with AgentError (status 0) when there is none. */
  send(agent: AgentEndpoint, call: AgentCall): Promise<AgentAnswer>;
  /** The JSON of a 2xx answer. Rejects with AgentError for anything else. */
  json(agent: AgentEndpoint, call: AgentCall): Promise<unknown>;
  close(): Promise<void>;
}

const TIMEOUT_MS = 15_000;
const MAX_BYTES = 32 * 1024 * 1024;

export function createAgentHttp(): AgentHttp {
  const dispatcher = new Agent({ connections: 8, keepAliveTimeout: 30_000, connect: { timeout: 5_000 } });
  const send = async (agent: AgentEndpoint, call: AgentCall): Promise<AgentAnswer> => {
    const bound = boundBy(call.signal, call.timeoutMs ?? TIMEOUT_MS);
    try {
      const response = await request(`${agent.base}${call.path}`, {
        dispatcher,
        method: call.method ?? 'GET',
        headers: {
          'x-session-api-key': agent.key,
          accept: 'application/json',
          ...(call.body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
        ...(call.form === undefined ? {} : { body: call.form }),
        signal: bound.signal,
      });
      const bytes = await readBounded(response.body, call.maxBytes ?? MAX_BYTES);
      return { status: response.statusCode, type: String(response.headers['content-type'] ?? ''), bytes };
    } catch (cause) {
      if (call.signal?.aborted === true) throw call.signal.reason;
      if (cause instanceof AgentError) throw cause;
      const words = bound.signal.aborted ? 'the agent server took too long' : 'the agent server does not answer';
      throw new AgentError(words, 0, { cause });
    } finally {
      bound.release();
    }
  };
  return {
    send,
    async json(agent, call) {
      const answer = await send(agent, call);
      const body = parseJson(answer.bytes);
      if (answer.status < 200 || answer.status > 299) throw new AgentError(wordsOf(answer.status, body), answer.status);
      return body;
    },
    close: () => dispatcher.close(),
  };
}

/** A signal of one call. AbortSignal.any would leave a little behind at a caller's signal that lives as long as the process. */
function boundBy(outer: AbortSignal | undefined, timeoutMs: number): { signal: AbortSignal; release(): void } {
  const controller = new AbortController();
  const abort = () => controller.abort();
  const timer = setTimeout(abort, timeoutMs);
  outer?.addEventListener('abort', abort, { once: true });
  if (outer?.aborted === true) abort();
  return {
    signal: controller.signal,
    release() {
      clearTimeout(timer);
      outer?.removeEventListener('abort', abort);
    },
  };
}

async function readBounded(body: Dispatcher.ResponseData['body'], maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    const bytes = chunk as Buffer;
    size += bytes.length;
    if (size > maxBytes) throw new AgentError('the answer of the agent server is too large', 0);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks);
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
}

/** The agent's own words where it gave some, cut short. */
function wordsOf(status: number, body: unknown): string {
  const detail = (body as { detail?: unknown } | null | undefined)?.detail;
  const words = typeof detail === 'string' ? detail : detail === undefined ? '' : JSON.stringify(detail);
  return `the agent server answered ${status}${words === '' ? '' : `: ${words.slice(0, 500)}`}`;
}
