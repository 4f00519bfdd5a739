/** The server as a whole where a real one cannot be compared: what is kept, the folder, ports, TLS, pod streams, bounds. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { get as httpsGet } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { parse } from 'yaml';
import { createLog } from '../../process/log.js';
import { startApi, type ApiOptions, type LocalApi } from './api.js';
import { ApiError } from './errors.js';

const token = 'token-of-the-test-0123456789';
const log = createLog({ name: 'api', level: 'silent' });
const folder = mkdtempSync(join(tmpdir(), 'sandlot-local-api-'));
const start = async (name: string, more: Partial<ApiOptions> = {}): Promise<LocalApi> =>
  await startApi({ dataDir: join(folder, name), host: '127.0.0.1', port: 0, token, log, ...more });

interface Answer {
  code: number;
  body: { metadata: { name: string; resourceVersion: string }; message?: string; items?: unknown[]; spec?: unknown };
  text: string;
}

async function ask(api: { url: string }, method: string, path: string, body?: unknown): Promise<Answer> {
  const response = await fetch(`${api.url}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { code: response.status, text, body: (text.startsWith('{') ? JSON.parse(text) : {}) as Answer['body'] };
}

const MAPS = '/api/v1/namespaces/default/configmaps';
const map = (name: string) => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name } });

t.teardown(() => rmSync(folder, { recursive: true, force: true }));

t.test('a restart finds everything, and versions go on', async (t) => {
  const first = await start('restart');
  const made = await ask(first, 'POST', MAPS, map('kept'));
  await first.close();
  const second = await start('restart');
  const found = await ask(second, 'GET', `${MAPS}/kept`);
  t.same(found.body, made.body);
  const next = await ask(second, 'POST', MAPS, map('next'));
  t.ok(Number(next.body.metadata.resourceVersion) > Number(made.body.metadata.resourceVersion));
  t.equal(second.kubeconfig().split('server:')[0], first.kubeconfig().split('server:')[0], 'the certificate stays');
  await second.close();
});

const SERVE = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? 'serve.ts' : 'serve.js', import.meta.url));

async function serve(dataDir: string): Promise<{ child: ChildProcess; url: string; token: string }> {
  const execArgv = SERVE.endsWith('.ts') ? ['--import', import.meta.resolve('tsx')] : [];
  const child = fork(SERVE, [dataDir], { execArgv, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  const [message] = (await once(child, 'message')) as [{ url: string; kubeconfig: string }];
  const config = parse(readFileSync(message.kubeconfig, 'utf8')) as { users: { user: { token: string } }[] };
  return { child, url: message.url, token: config.users[0]?.user.token ?? '' };
}

t.test('kill -9 loses nothing that was acknowledged', async (t) => {
  const dataDir = join(folder, 'killed');
  const server = await serve(dataDir);
  const acknowledged: string[] = [];
  const write = async (worker: number): Promise<void> => {
    for (let count = 0; ; count += 1) {
      const name = `w${worker}-${count}`;
      const response = await fetch(`${server.url}${MAPS}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${server.token}`, 'content-type': 'application/json' },
        body: JSON.stringify(map(name)),
      });
      const body = (await response.json()) as { metadata: { resourceVersion: string } };
      acknowledged.push(`${name} ${body.metadata.resourceVersion}`);
      if (acknowledged.length === 200) server.child.kill('SIGKILL');
    }
  };
  const writers = await Promise.allSettled([0, 1, 2, 3].map(write));
  t.ok(
    writers.every((one) => one.status === 'rejected'),
    'all were cut off',
  );
  const again = await startApi({ dataDir, host: '127.0.0.1', port: 0, token, log });
  const { body } = await ask(again, 'GET', MAPS);
  const kept = new Set(
    (body.items as Answer['body'][]).map((one) => `${one.metadata.name} ${one.metadata.resourceVersion}`),
  );
  t.same(
    acknowledged.filter((one) => !kept.has(one)),
    [],
  );
  await again.close();
});

t.test('folders that cannot be used say why', async (t) => {
  const api = await start('used');
  await t.rejects(start('used'), { message: /in use by another process/ });
  await api.close();
  const strange = join(folder, 'strange', 'objects');
  mkdirSync(strange, { recursive: true });
  writeFileSync(join(strange, 'letter.txt'), 'hello');
  await t.rejects(start('strange'), { message: /is not empty and is no data folder/ });
  const broken = await start('broken');
  await broken.close();
  writeFileSync(join(folder, 'broken', 'objects', 'CURRENT'), 'MANIFEST-999999\n');
  await t.rejects(start('broken'), { message: /damaged or half-written|cannot be opened/ });
  await t.rejects(start('open', { host: '0.0.0.0' }), { message: /loopback addresses only/ });
});

t.test('pods get port numbers of their own', async (t) => {
  const ports = { first: 29200, last: 29219 };
  const api = await start('ports', { ports, ownAddress: true });
  const pod = (name: string) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: {
      containers: [
        {
          name: 'agent',
          image: 'x',
          env: [
            { name: 'WORKER_1', value: '8011' },
            { name: 'PORT', value: '8000' },
          ],
          ports: [
            { name: 'agent', containerPort: 8000 },
            { name: 'worker-1', containerPort: 8011 },
          ],
        },
      ],
    },
  });
  const PODS = '/api/v1/namespaces/default/pods';
  const numbers = async (name: string): Promise<[number, number, string]> => {
    const { body } = await ask(api, 'POST', PODS, pod(name));
    const [container] = (
      body.spec as { containers: { env: { value: string }[]; ports: { containerPort: number }[] }[] }
    ).containers;
    return [
      container?.ports[0]?.containerPort ?? 0,
      container?.ports[1]?.containerPort ?? 0,
      container?.env[0]?.value ?? '',
    ];
  };
  const several = await Promise.all(['a', 'b', 'c', 'd'].map(numbers));
  t.equal(new Set(several.map(([, worker]) => worker)).size, 4, 'all different');
  for (const [agent, worker, variable] of several) {
    t.equal(agent, 8000, 'the agent has an address of its own');
    t.ok(worker >= ports.first && worker <= ports.last);
    t.equal(variable, String(worker));
  }
  await api.close();
});

t.test('TLS and plain HTTP share the port', async (t) => {
  const api = await start('tls');
  const config = parse(api.kubeconfig()) as {
    clusters: { cluster: { server: string; 'certificate-authority-data': string } }[];
  };
  const cluster = config.clusters[0]?.cluster;
  const ca = Buffer.from(cluster?.['certificate-authority-data'] ?? '', 'base64');
  const request = httpsGet(`${cluster?.server ?? ''}/healthz`, { ca });
  const [response] = (await once(request, 'response')) as [{ statusCode: number; resume(): void }];
  response.resume();
  t.equal(response.statusCode, 200);
  t.equal((await ask(api, 'GET', '/healthz')).text, 'ok');
  t.equal((await fetch(`${api.url}${MAPS}`)).status, 401);
  await api.close();
});

t.test('logs come from the node', async (t) => {
  const api = await start('logs');
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p' },
    spec: { containers: [{ name: 'a', image: 'x' }] },
  };
  await ask(api, 'POST', '/api/v1/namespaces/default/pods', pod);
  const path = '/api/v1/namespaces/default/pods/p/log';
  t.equal((await ask(api, 'GET', path)).code, 503, 'no node yet');
  api.setPodHandlers({
    async log({ pod, query }) {
      if (query.get('container') === 'nope')
        throw new ApiError({ code: 400, reason: 'BadRequest', message: 'no such container' });
      return (async function* () {
        yield `${pod.metadata.name}: one\n`;
        yield Buffer.from('two\n');
      })();
    },
    exec: ({ socket }) => socket.destroy(),
    attach: ({ socket }) => socket.destroy(),
    portForward: ({ socket }) => socket.destroy(),
  });
  t.equal((await ask(api, 'GET', path)).text, 'p: one\ntwo\n');
  t.equal((await ask(api, 'GET', `${path}?container=nope`)).code, 400);
  t.equal((await ask(api, 'GET', '/api/v1/namespaces/default/pods/none/log')).code, 404);
  t.equal((await ask(api, 'POST', '/api/v1/namespaces/default/pods/p/exec')).code, 400, 'exec wants an upgrade');
  await api.close();
});

t.test('targets that are no paths are not found, with and without an upgrade', async (t) => {
  const api = await start('targets');
  const headers = { authorization: `Bearer ${token}` };
  for (const path of ['//', '//host', 'http://['])
    for (const more of [{}, { connection: 'Upgrade', upgrade: 'websocket' }]) {
      const code = await new Promise((resolve) =>
        request(api.url, { path, headers: { ...headers, ...more }, agent: false }, (response) =>
          resolve(response.resume().statusCode),
        ).end(),
      );
      t.equal(code, 404, path);
    }
  await api.close();
});

t.test('bodies are bounded', async (t) => {
  const api = await start('bounds');
  const large = await ask(api, 'POST', MAPS, { ...map('large'), data: { a: 'x'.repeat(4 * 1024 * 1024) } });
  t.equal(large.code, 413);
  const nested = (depth: number): unknown => JSON.parse(`${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`);
  const deep = await ask(api, 'POST', MAPS, { ...map('deep'), data: nested(1_000) });
  t.match(deep, { code: 400, body: { message: /exceeded max depth/ } });
  await api.close();
});
