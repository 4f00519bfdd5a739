/** The operator's few calls to agent servers. What answers there is the sandbox's own content: nothing it says is trusted. */
import { Agent, request, type Dispatcher } from 'undici';
import type { Clock } from '../kube/types.js';
import { CONTAINER } from './build/pod.js';
import type { Pod } from '../kube/kinds.js';
import { sayGoodbye, type Call, type Farewell } from './goodbye.js';

export interface AgentTarget {
  /** Pod IP. */
  host: string;
  port: number;
}

export interface AgentKeys {
  initKey: string;
  sessionKey: string;
  secretKey: string;
}

export interface AgentClient {
  /**
   * Gives a dormant agent server its keys. `ready` also when it has them already; `refused` when it cannot be initialised
   * (other keys, not dormant, no answer after the retries).
   */
  initialise(target: AgentTarget, keys: AgentKeys, signal: AbortSignal): Promise<'ready' | 'refused'>;
  /** Last sign of use, ms since 1970; undefined when it does not answer. A running conversation counts as use now. */
  lastUse(target: AgentTarget, sessionKey: string, signal: AbortSignal): Promise<number | undefined>;
  /** Asks it to stop what runs and to send what it has, before its pod is ended. Bounded; never rejects. */
  farewell(target: AgentTarget, sessionKey: string, signal: AbortSignal): Promise<Farewell>;
  close(): Promise<void>;
}

const TRIES = 3;
const FIRST_RETRY_MS = 100;
const CALL_MS = 5_000;
/** Initialising opens stores and starts tools. */
const INIT_MS = 10_000;
const ANSWER_LIMIT = 64 * 1024;
const FAREWELL_MS = 15_000;

/** Where the agent server of a pod listens; undefined while the pod has no address. */
export function agentTarget(pod: Pod): AgentTarget | undefined {
  const host = pod.status?.podIP;
  const container = pod.spec.containers.find(({ name }) => name === CONTAINER);
  const port = container?.ports?.find(({ name }) => name === 'agent')?.containerPort;
  return host === undefined || host === '' || port === undefined ? undefined : { host, port };
}

export function createAgentClient(clock: Clock): AgentClient {
  const dispatcher = new Agent({ connections: 2, keepAliveTimeout: 4_000, connect: { timeout: 2_000 } });
  const call = (target: AgentTarget, path: string, options: CallOptions) =>
    ask({ ...options, target, path, dispatcher });

  const initialiseOnce = async (target: AgentTarget, keys: AgentKeys, signal: AbortSignal) => {
    const answer = await call(target, '/api/init', {
      signal,
      timeoutMs: INIT_MS,
      headers: { 'x-init-api-key': keys.initKey, 'content-type': 'application/json' },
      body: JSON.stringify({ session_api_keys: [keys.sessionKey], secret_key: keys.secretKey }),
    });
    if (answer.status === 200) return 'ready';
    // 400: somebody was first. It was us, with the answer lost on the way, if our key is the one that works.
    if (answer.status !== 400) return answer.status >= 500 ? 'again' : 'refused';
    const check = await call(target, '/api/conversations/count', {
      signal,
      timeoutMs: CALL_MS,
      headers: { 'x-session-api-key': keys.sessionKey },
    });
    if (check.status === 200) return 'ready';
    return check.status >= 500 ? 'again' : 'refused';
  };

  return {
    async initialise(target, keys, signal) {
      for (let attempt = 0; attempt < TRIES; attempt++) {
        if (attempt > 0) await clock.sleep(FIRST_RETRY_MS * 2 ** (attempt - 1), signal);
        const result = await initialiseOnce(target, keys, signal).catch((error: unknown) => {
          if (signal.aborted) throw error;
          return 'again' as const;
        });
        if (result !== 'again') return result;
      }
      return 'refused';
    },
    async lastUse(target, sessionKey, signal) {
      try {
        const info = await call(target, '/server_info', { signal, timeoutMs: CALL_MS });
        const idle = (info.body as { idle_time?: unknown } | undefined)?.idle_time;
        if (info.status !== 200 || typeof idle !== 'number' || !(idle >= 0)) return undefined;
        const running = await call(target, '/api/conversations/count?status=running', {
          signal,
          timeoutMs: CALL_MS,
          headers: { 'x-session-api-key': sessionKey },
        });
        const busy = running.status === 200 && typeof running.body === 'number' && running.body > 0;
        return busy ? clock.now() : Math.round(clock.now() - idle * 1_000);
      } catch (error) {
        if (signal.aborted) throw error;
        return undefined;
      }
    },
    async farewell(target, sessionKey, signal) {
      const ending = AbortSignal.any([signal, AbortSignal.timeout(FAREWELL_MS)]);
      const headers = { 'x-session-api-key': sessionKey };
      const exchange: Call = (path, { post = false, ...more }) =>
        call(target, path, { ...more, signal: ending, headers, ...(post ? { body: '' } : {}) });
      return sayGoodbye(exchange, (ms) => clock.sleep(ms, ending)).catch(() => 'silent' as const);
    },
    close: () => dispatcher.close(),
  };
}

interface CallOptions {
  signal: AbortSignal;
  timeoutMs: number;
  headers?: Record<string, string>;
  /** Makes it a POST. */
  body?: string;
  /** Bytes of the answer. */
  limit?: number;
}

/** One exchange without redirects; answers longer than the limit are an error. */
async function ask(
  options: CallOptions & { target: AgentTarget; path: string; dispatcher: Dispatcher },
): Promise<{ status: number; body: unknown }> {
  const { target, path, dispatcher, signal, timeoutMs, limit = ANSWER_LIMIT } = options;
  const host = target.host.includes(':') ? `[${target.host}]` : target.host;
  const response = await request(`http://${host}:${target.port}${path}`, {
    dispatcher,
    method: options.body === undefined ? 'GET' : 'POST',
    headers: options.headers ?? {},
    ...(options.body === undefined ? {} : { body: options.body }),
    signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
  });
  let text = '';
  for await (const chunk of response.body) {
    text += String(chunk);
    if (text.length > limit) throw new Error(`the agent server's answer to ${path} is too long`);
  }
  return { status: response.statusCode, body: parse(text) };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
