/**
 * A peer for scale: a controller that does only what a claim cannot do without. One conditional pod patch, one status patch,
 * refill eight creates at a time, 16 connections. No key, no Service, no limits, no events, no retry: not fit for use.
 *
 *     node dist/bench/operator/bare.js POOL      (KUBECONFIG; sandboxes of the namespace `default`)
 */
import { Client, Pool } from 'undici';
import type { Pod } from '../../kube/kinds.js';
import { loadKubeConfig } from '../../kube/config.js';
import { createNdjsonParser } from '../../kube/ndjson.js';
import type { KubeObject, WatchEvent } from '../../kube/types.js';

const SELECTOR = 'app=bare';
const CREATES = 8;
const CONNECTIONS = 16;
const LINE_LIMIT = 8 * 1024 * 1024;
const PODS = '/api/v1/namespaces/default/pods';
const SANDBOXES = '/apis/sandlot.dev/v1alpha1/namespaces/default/sandboxes';

const config = loadKubeConfig(process.env);
const { headers, tls } = await config.credentials();
const common = { ...headers, accept: 'application/json', 'user-agent': 'bare' };
const pool = new Pool(config.server, { connect: tls, connections: CONNECTIONS, pipelining: 1 });

const goal = Number(process.argv[2]);
const warm = new Map<string, Pod>();
const waiting: string[] = [];
const seen = new Set<string>();
let made = 0;
let claimed = 0;
let creating = 0;

async function call<T>(method: 'GET' | 'POST' | 'PATCH', path: string, json?: unknown): Promise<T> {
  const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
  const answer = await pool.request({
    path,
    method,
    headers: { ...common, 'content-type': type },
    body: json === undefined ? null : JSON.stringify(json),
  });
  if (answer.statusCode >= 300) throw new Error(`${method} ${path}: ${answer.statusCode} ${await answer.body.text()}`);
  return (await answer.body.json()) as T;
}

/** From a list on, for ever; a watch that ends is resumed at once. */
async function follow<T extends KubeObject>(
  path: string,
  selector: string,
  see: (object: T, gone: boolean) => void,
): Promise<never> {
  const query = selector === '' ? '' : `&labelSelector=${encodeURIComponent(selector)}`;
  const list = await call<{ metadata: { resourceVersion: string }; items: T[] }>('GET', `${path}?limit=0${query}`);
  for (const item of list.items) see(item, false);
  let version = list.metadata.resourceVersion;
  for (;;) {
    const connection = new Client(config.server, { connect: tls, bodyTimeout: 0 });
    const parser = createNdjsonParser(LINE_LIMIT, (value) => {
      const { type, object } = value as WatchEvent<T>;
      version = object.metadata.resourceVersion ?? version;
      see(object, type === 'DELETED');
    });
    const at = `${path}?watch=1&resourceVersion=${version}${query}`;
    const { body } = await connection.request({ path: at, method: 'GET', headers: common });
    for await (const chunk of body) parser.push(chunk as Buffer);
    await connection.close();
  }
}

function refill(): void {
  while (creating < CREATES && made - claimed < goal) {
    creating += 1;
    const pod = {
      metadata: { name: `bare-${made++}`, labels: { app: 'bare' } },
      spec: { containers: [{ name: 'agent', image: 'sandlot/sandbox:bench', ports: [{ containerPort: 8000 }] }] },
    };
    void call('POST', PODS, pod).then(() => {
      creating -= 1;
      refill();
    });
  }
}

async function claim(name: string, pod: Pod): Promise<void> {
  claimed += 1;
  const { name: podName, resourceVersion } = pod.metadata;
  await call('PATCH', `${PODS}/${podName}`, { metadata: { resourceVersion, labels: { sandbox: name } } });
  const now = new Date().toISOString();
  const ready = { type: 'Ready', status: 'True', reason: 'Ready', message: '', lastTransitionTime: now };
  await call('PATCH', `${SANDBOXES}/${name}/status`, {
    status: { phase: 'Running', podIP: pod.status?.podIP, conditions: [ready] },
  });
  refill();
}

function match(): void {
  for (const [podName, pod] of warm) {
    const name = waiting.shift();
    if (name === undefined) return;
    warm.delete(podName);
    void claim(name, pod);
  }
}

const isReady = ({ status }: Pod): boolean =>
  status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true;

refill();
await Promise.all([
  follow<Pod>(PODS, SELECTOR, (pod, gone) => {
    if (!gone && isReady(pod) && pod.metadata.labels?.sandbox === undefined) warm.set(pod.metadata.name, pod);
    else warm.delete(pod.metadata.name);
    match();
  }),
  follow(SANDBOXES, '', ({ metadata: { name } }) => {
    if (!seen.has(name)) waiting.push(name);
    seen.add(name);
    match();
  }),
]);
