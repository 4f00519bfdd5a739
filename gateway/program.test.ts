/** The whole program on a Kubernetes API: watches, readiness, traffic, activity, the end. */
import { fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { sessionKey } from '../contracts/keys.js';
import { ANNOTATION, LABEL, SANDBOX_APP } from '../contracts/labels.js';
import { newSlot } from '../contracts/names.js';
import { SANDBOX, type Sandbox } from '../contracts/resources.js';
import type { KubeClient } from '../kube/client.js';
import { ENDPOINT_SLICE, NAMESPACE, type EndpointSlice, type KindOf } from '../kube/kinds.js';
import { ConfigError } from '../process/config.js';
import { readGatewayConfig } from './config.js';
import { execArgv, extension, startCluster } from '../test/support/cluster.js';
import { until } from '../test/support/stack.js';
import { listenLocal, SECRET } from './testing/harness.js';

const SANDBOXES: KindOf<Sandbox> = SANDBOX;
const DOMAIN = 'sandbox.localhost';

function get(port: number, slot: string, key?: string): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = {
      host: `${slot}.${DOMAIN}`,
      connection: 'close',
      ...(key === undefined ? {} : { 'x-session-api-key': key }),
    };
    const asking = request({ port, host: '127.0.0.1', path: '/x', headers }, (response) => {
      let text = '';
      response.on('data', (chunk) => (text += String(chunk)));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
    });
    asking.once('error', reject);
    asking.end();
  });
}

function startProgram(env: Record<string, string>) {
  const main = new URL(`./main.${extension}`, import.meta.url).href;
  const file = join(mkdtempSync(join(tmpdir(), 'sandlot-gateway-')), 'program.mjs');
  writeFileSync(file, `import { main } from ${JSON.stringify(main)};\nawait main(process.env);\n`);
  const child = fork(file, {
    execArgv,
    env: { PATH: process.execPath, ...env },
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  let output = '';
  child.stdout?.on('data', (chunk) => (output += String(chunk)));
  const ready = new Promise<{ port: number; healthPort: number }>((resolve, reject) => {
    child.once('message', (message) => resolve(message as { port: number; healthPort: number }));
    child.once('exit', (code) => reject(new Error(`ended with ${code}: ${output}`)));
  });
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  return { child, ready, ended, output: () => output };
}

async function createSandbox(client: KubeClient, namespace: string, slot: string): Promise<void> {
  const name = `box-${slot}`;
  await client.create(SANDBOXES, {
    apiVersion: 'sandlot.dev/v1alpha1',
    kind: 'Sandbox',
    metadata: { name, namespace },
    spec: { owner: 'alice' },
  });
  const status = { slot, keyEpoch: 1, phase: 'Running' };
  await client.patch(SANDBOXES, { namespace, name }, { status }, { type: 'merge', subresource: 'status' });
}

const sliceFor = (namespace: string, slot: string, ip: string, port: number): EndpointSlice => ({
  metadata: { name: `pods-${slot}`, namespace, labels: { [LABEL.name]: SANDBOX_APP } },
  addressType: 'IPv4',
  ports: [{ name: 'agent', port, protocol: 'TCP' }],
  endpoints: [{ addresses: [ip], conditions: { ready: true }, targetRef: { kind: 'Pod', name: slot, namespace } }],
});

t.test('the program follows the cluster', { timeout: 90_000 }, async (t) => {
  const cluster = await startCluster();
  t.teardown(() => cluster.stop());
  const { client } = cluster;
  const namespace = `gateway-${randomBytes(4).toString('hex')}`;
  await client.create(NAMESPACE, { metadata: { name: namespace } });
  t.teardown(() => client.delete(NAMESPACE, { name: namespace }));
  const pod = createServer((asked, response) => void response.end(`pod ${asked.url}`));
  const podPort = await listenLocal(pod);
  t.teardown(() => {
    pod.closeAllConnections();
    pod.close();
  });
  const slot = newSlot();
  const key = sessionKey(SECRET, slot, 1);
  await createSandbox(client, namespace, slot);
  const program = startProgram({
    KUBECONFIG: cluster.kubeconfig,
    SANDLOT_SECRET: SECRET,
    SANDLOT_NAMESPACE: namespace,
    SANDLOT_PORT: '0',
    SANDLOT_GATEWAY_DOMAIN: DOMAIN,
    SANDLOT_DRAIN_SECONDS: '1',
  });
  t.teardown(() => program.child.kill('SIGKILL'));
  const { port, healthPort } = await program.ready;
  const health = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${healthPort}${path}`);
    return { status: response.status, text: await response.text() };
  };
  t.match(await health('/readyz'), { status: 200 });
  t.match(await get(port, slot), { status: 401 });
  t.match(await get(port, slot, key), { status: 503, text: /SandboxStarting/ });
  t.match(await get(port, newSlot(), key), { status: 404 });

  const ref = { namespace, name: `box-${slot}` };
  // A real API server refuses loopback addresses in slices; there the rest needs real pods (test/e2e).
  const hasAddress = await client
    .create(ENDPOINT_SLICE, sliceFor(namespace, slot, '127.0.0.1', podPort))
    .then(Boolean, () => false);
  if (hasAddress) {
    await until('the slice', async () => (await get(port, slot, key)).status === 200);
    t.match(await get(port, slot, key), { status: 200, text: 'pod /x' });
    await until('the activity', async () => {
      const { metadata } = await client.get(SANDBOXES, ref);
      return Date.now() - Date.parse(metadata.annotations?.[ANNOTATION.lastTraffic] ?? '') < 60_000;
    });
    t.match(
      (await health('/metrics')).text,
      /sandlot_gateway_requests_total\{source="host",port="agent",code="2xx"\} [2-9]/,
    );
    t.match(program.output(), `"slot":"${slot}"`, 'the access log');
  }
  const status = async (epoch: number) => (await get(port, slot, sessionKey(SECRET, slot, epoch))).status;
  await client.patch(SANDBOXES, ref, { status: { keyEpoch: 2 } }, { type: 'merge', subresource: 'status' });
  await until('the new key', async () => (await status(1)) === 401);
  t.equal(await status(2), hasAddress ? 200 : 503);
  await client.patch(SANDBOXES, ref, { spec: { runState: 'Paused' } }, { type: 'merge' });
  await until('the pause', async () =>
    (await get(port, slot, sessionKey(SECRET, slot, 2))).text.includes('SandboxPaused'),
  );
  // Asked for when it may be woken, it is resumed; the request waits for the operator, which is not here.
  await client.patch(SANDBOXES, ref, { status: { phase: 'Paused' } }, { type: 'merge', subresource: 'status' });
  await client.patch(SANDBOXES, ref, { spec: { lifecycle: { wakeOnRequest: true } } }, { type: 'merge' });
  const asking = get(port, slot, sessionKey(SECRET, slot, 2));
  await until('the resume', async () => {
    // The first may come before the gateway has seen the change, and is then told that it is paused.
    void get(port, slot, sessionKey(SECRET, slot, 2));
    return (await client.get(SANDBOXES, ref)).spec.runState === 'Running';
  });
  await client.delete(SANDBOXES, ref);
  await asking;
  await until('the deletion', async () => (await status(2)) === 404);
  program.child.kill('SIGTERM');
  t.equal(await program.ended, 0);
  t.notMatch(program.output(), key);
  t.match(program.output(), '"status":404,"reason":"UnknownSandbox"');
});

t.test('configuration', async (t) => {
  const config = readGatewayConfig({
    SANDLOT_SECRET: SECRET,
    SANDLOT_UI_ORIGINS: 'http://localhost:3000,https://a.example',
  });
  t.match(config, {
    SANDLOT_PORT: 3001,
    SANDLOT_GATEWAY_DOMAIN: 'sandbox.localhost:3001',
    SANDLOT_UI_ORIGINS: ['http://localhost:3000', 'https://a.example'],
  });
  const wrong = {
    SANDLOT_SECRET: 'short',
    SANDLOT_UI_ORIGINS: 'http://a/path',
    SANDLOT_GATEWAY_DOMAIN: 'a/b',
    SANDLOT_GATEWAY_PROTOCOL: 'ftp',
  };
  try {
    readGatewayConfig(wrong);
    t.fail('wrong values must not pass');
  } catch (error) {
    t.ok(error instanceof ConfigError);
    const names = (error as ConfigError).problems.map((problem) => problem.split(':')[0]);
    t.same(names.sort(), Object.keys(wrong).sort());
  }
});
