/**
 * The chart with logins, on the real cluster: a real OIDC provider, and TLS in front as an ingress controller would have it,
 * both on the first node's address. Run by test/cluster/run, which makes the cluster and the certificate.
 */
import { readFileSync } from 'node:fs';
import { request as plainRequest } from 'node:http';
import { createServer } from 'node:https';
import { join } from 'node:path';
import t from 'tap';
import { ownerLabel } from '../../contracts/names.js';
import type { Sandbox } from '../../contracts/resources.js';
import { packageRoot } from '../../process/root.js';
import { startOidc, TestBrowser } from '../support/oidc.js';
import { until } from '../support/stack.js';
import { clusterIn } from './tools.js';

const NAMESPACE = 'sandlot-oidc';
const ADDRESS = '10.77.0.1';
const PUBLIC = `https://${ADDRESS}`;
const folder = process.env.SANDLOT_TEST_TLS;
const skip =
  (process.env.SANDLOT_TEST_CLUSTER === undefined || folder === undefined) && 'needs a real cluster: test/cluster/run';
const { kubectl, helm, get } = clusterIn(NAMESPACE);

/** TLS for users, plain HTTP to the API server's Service, as an ingress controller has it. */
async function startFront(service: string, tls: { key: string; cert: string }): Promise<() => Promise<void>> {
  const server = createServer(tls, (request, response) => {
    const headers = { ...request.headers, 'x-forwarded-proto': 'https', 'x-forwarded-for': '198.51.100.7' };
    const onward = plainRequest({ host: service, port: 3000, method: request.method, path: request.url, headers });
    onward.on('response', (answer) => answer.pipe(response.writeHead(answer.statusCode ?? 502, answer.headers)));
    onward.on('error', () => response.writeHead(502).end());
    request.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(443, ADDRESS, resolve));
  return () =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
}

t.test('the chart with logins', { skip, timeout: 500_000 }, async (t) => {
  const [key, cert] = ['key.pem', 'cert.pem'].map((file) => readFileSync(join(folder ?? '', file), 'utf8')) as [
    string,
    string,
  ];
  const provider = await startOidc(PUBLIC, { at: { address: ADDRESS, key, cert } });
  t.teardown(() => provider.stop());
  provider.people.set('alice', { email: 'alice@example.com', name: 'Alice', groups: ['staff', 'ops'] });
  provider.people.set('mallory', { email: 'mallory@elsewhere.example', groups: ['guests'] });
  await kubectl('create', 'namespace', NAMESPACE);
  await kubectl('label', 'namespace', NAMESPACE, 'pod-security.kubernetes.io/enforce=restricted');
  await kubectl('create', 'secret', 'generic', 'oidc', `--from-literal=client-secret=${provider.clientSecret}`);
  await kubectl('create', 'configmap', 'company-ca', `--from-literal=ca.crt=${cert}`);
  const oidc = {
    issuer: provider.issuer,
    clientId: provider.clientId,
    existingSecret: 'oidc',
    allowedGroups: ['staff'],
    adminGroups: ['ops'],
  };
  const values = {
    gateway: { domain: 'sandbox.example.com', replicas: 1 },
    operator: { replicas: 1 },
    apiServer: { host: ADDRESS, trustedCa: { configMap: 'company-ca' }, quota: { userMiB: 100 } },
    identity: { mode: 'oidc', oidc },
    ingress: { enabled: false },
    defaultTemplate: {
      resources: { requests: { cpu: '100m', memory: '256Mi' }, limits: { memory: '2Gi' } },
      warmReplicas: 0,
    },
  };
  const set = Object.entries(values).flatMap(([name, value]) => ['--set-json', `${name}=${JSON.stringify(value)}`]);
  t.match(
    await helm('install', 'oidc', join(packageRoot(), 'helm/sandlot'), ...set, '--wait', '--timeout', '4m'),
    /deployed/,
  );
  const { spec } = await get<{ spec: { clusterIP: string } }>('service', 'oidc-apiserver');
  t.teardown(await startFront(spec.clusterIP, { key, cert }));

  const stranger = new TestBrowser();
  t.equal((await stranger.fetch(`${PUBLIC}/api/v1/settings`)).status, 401);
  const refused = await stranger.logIn(`${PUBLIC}/oauth/login?return_to=%2F`, 'mallory');
  t.equal(
    (await stranger.fetch(`${PUBLIC}/api/v1/settings`)).status,
    401,
    `who is in no allowed group stays out (${refused.url})`,
  );

  const browser = new TestBrowser();
  const ended = await browser.logIn(`${PUBLIC}/oauth/login?return_to=%2Fsettings`, 'alice');
  t.equal(ended.url, `${PUBLIC}/settings`, 'back where she was');
  t.equal(ended.response?.status, 200, 'the page of the UI');
  const who = (await (await browser.fetch(`${PUBLIC}/api/identity`)).json()) as { user: { id: string } };
  t.match(who, { mode: 'oidc', user: { email: 'alice@example.com', roles: ['admin'] } });

  const own = { origin: PUBLIC, 'sec-fetch-site': 'same-origin', 'content-type': 'application/json' };
  const body = JSON.stringify({ title: 'hers' });
  const started = await browser.fetch(`${PUBLIC}/api/v1/app-conversations`, { method: 'POST', headers: own, body });
  t.equal(started.status, 200, 'she starts a conversation');
  const sandbox = await until(
    'her sandbox',
    async () => {
      const { items } = await get<{ items: Sandbox[] }>(
        'sandboxes',
        '-l',
        `sandlot.dev/owner=${ownerLabel(who.user.id)}`,
      );
      return items.find(({ status }) => status?.phase === 'Running');
    },
    180_000,
  );
  t.equal(sandbox.spec.owner, who.user.id, 'is hers');

  t.equal((await browser.fetch(`${PUBLIC}/api/logout`, { method: 'POST', headers: own, body: '{}' })).status, 200);
  t.equal((await browser.fetch(`${PUBLIC}/api/v1/settings`)).status, 401, 'and out');

  await kubectl('delete', 'sandboxes', '--all');
  await helm('uninstall', 'oidc', '--wait', '--timeout', '3m');
  await kubectl('delete', 'namespace', NAMESPACE, '--timeout=120s');
});
