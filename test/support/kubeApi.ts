/** A Kubernetes API to test against: the one that SANDLOT_TEST_KUBECONFIG names, or the one-machine cluster's. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Agent, fetch, type Dispatcher } from 'undici';
import { parse } from 'yaml';
import { createLog } from '../../process/log.js';
import { startApi } from '../../local/api/api.js';

export type Body = Record<string, unknown>;

export interface Reply {
  code: number;
  body: Body;
  text: string;
  header(name: string): string | null;
}

export interface Ask {
  body?: unknown;
  type?: string;
  accept?: string;
  /** Another token than the right one, and no client certificate. */
  token?: string;
}

export interface Watched {
  /** The next event; rejects when the watch ended. */
  next(): Promise<{ type: string; object: Body }>;
  close(): void;
}

export interface TestApi {
  real: boolean;
  ask(method: string, path: string, options?: Ask): Promise<Reply>;
  watch(path: string, options?: Ask): Promise<Watched>;
  close(): Promise<void>;
}

export const MERGE = 'application/merge-patch+json';
export const JSON_PATCH = 'application/json-patch+json';
export const STRATEGIC = 'application/strategic-merge-patch+json';
export const APPLY = 'application/apply-patch+yaml';

interface Place {
  url: string;
  headers: Record<string, string>;
  dispatcher: Dispatcher;
  /** Without a client certificate. */
  anonymous: Dispatcher;
}

/** Starts the API when there is none to test against. */
export async function openTestApi(): Promise<TestApi> {
  const kubeconfig = process.env['SANDLOT_TEST_KUBECONFIG'] ?? '';
  if (kubeconfig !== '') {
    const place = placeOf(kubeconfig);
    return client(place, true, async () => {
      await Promise.all([place.dispatcher.destroy(), place.anonymous.destroy()]);
    });
  }
  const dataDir = mkdtempSync(join(tmpdir(), 'sandlot-api-'));
  const token = 'test-token-0123456789abcdef';
  const api = await startApi({
    dataDir,
    host: '127.0.0.1',
    port: 0,
    token,
    log: createLog({ name: 'api', level: 'error' }),
    // Small, so that a watch can fall out of it.
    historySize: 8,
  });
  const place: Place = {
    url: api.url,
    headers: { authorization: `Bearer ${token}` },
    dispatcher: new Agent(),
    anonymous: new Agent(),
  };
  return client(place, false, async () => {
    await Promise.all([place.dispatcher.destroy(), place.anonymous.destroy()]);
    await api.close();
    rmSync(dataDir, { recursive: true, force: true });
  });
}

interface KubeConfigFile {
  clusters: { cluster: Record<string, string> }[];
  users: { user: Record<string, string> }[];
}

/** The first cluster and user of a kubeconfig, with a token or a client certificate. */
function placeOf(path: string): Place {
  const config = parse(readFileSync(path, 'utf8')) as KubeConfigFile;
  const cluster = config.clusters[0]?.cluster ?? {};
  const user = config.users[0]?.user ?? {};
  const pem = (from: Record<string, string>, name: string): string | undefined => {
    const inline = from[`${name}-data`];
    if (inline !== undefined) return Buffer.from(inline, 'base64').toString();
    const file = from[name];
    return file === undefined ? undefined : readFileSync(file, 'utf8');
  };
  const tls = {
    ca: pem(cluster, 'certificate-authority'),
    cert: pem(user, 'client-certificate'),
    key: pem(user, 'client-key'),
  };
  const given = Object.fromEntries(Object.entries(tls).filter(([, value]) => value !== undefined));
  return {
    url: cluster['server'] ?? '',
    headers: user['token'] === undefined ? {} : { authorization: `Bearer ${user['token']}` },
    dispatcher: new Agent({ connect: given }),
    anonymous: new Agent({ connect: given['ca'] === undefined ? {} : { ca: given['ca'] } }),
  };
}

function client(place: Place, real: boolean, close: () => Promise<void>): TestApi {
  const send = async (method: string, path: string, options: Ask, signal?: AbortSignal) =>
    await fetch(`${place.url}${path}`, {
      method,
      dispatcher: options.token === undefined ? place.dispatcher : place.anonymous,
      headers: {
        ...place.headers,
        ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
        accept: options.accept ?? 'application/json',
        'user-agent': 'suite/1',
        ...(options.body === undefined ? {} : { 'content-type': options.type ?? 'application/json' }),
      },
      ...(options.body === undefined
        ? {}
        : { body: typeof options.body === 'string' ? options.body : JSON.stringify(options.body) }),
      ...(signal === undefined ? {} : { signal }),
    });
  return {
    real,
    close,
    async ask(method, path, options = {}) {
      const response = await send(method, path, options);
      const text = await response.text();
      return { code: response.status, text, body: asJson(text), header: (name) => response.headers.get(name) };
    },
    async watch(path, options = {}) {
      const aborted = new AbortController();
      const response = await send('GET', path, options, aborted.signal);
      if (response.status !== 200 || response.body === null)
        throw new Error(`watch answered ${response.status}: ${await response.text()}`);
      const lines = eventsOf(response.body as AsyncIterable<Uint8Array>);
      return {
        async next() {
          const { value, done } = await lines.next();
          if (done === true) throw new Error('the watch ended');
          return value;
        },
        close: () => aborted.abort(),
      };
    },
  };
}

function asJson(text: string): Body {
  try {
    return JSON.parse(text) as Body;
  } catch {
    return {};
  }
}

async function* eventsOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<{ type: string; object: Body }, undefined> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line !== '') yield JSON.parse(line) as { type: string; object: Body };
  }
  return undefined;
}
