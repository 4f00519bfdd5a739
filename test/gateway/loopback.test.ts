/** An app on its pod's loopback, reached through the real gateway and the real agent server; and what is not the pod's is not. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTcpServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { get } from '../../gateway/testing/client.js';
import {
  hostOf,
  keyOf,
  listenLocal,
  sandboxOf,
  sliceOf,
  slotNamed,
  startTestGateway,
} from '../../gateway/testing/harness.js';
import { caller, lineRunner, says, startChild, until } from '../../sandbox/testing/server.js';

const A = slotNamed('a');
/** The pod's address; what listens on 127.0.0.1 alone is not there. */
const POD = '127.0.0.9';

async function freePort(): Promise<number> {
  const server = createTcpServer();
  const port = await listenLocal(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

t.test('an app that listens on loopback only', { timeout: 60_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sandlot-loopback-'));
  const agent = await startChild(folder, { HOST: POD, OH_SESSION_API_KEYS_0: keyOf(A) });
  const agentPort = Number(new URL(agent.url).port);
  const gateway = await startTestGateway();
  const neighbour = createServer((_request, response) => void response.end('not yours'));
  await new Promise<void>((resolve) => neighbour.listen(0, '127.0.0.1', resolve));
  t.teardown(async () => {
    await gateway.close();
    agent.child.kill('SIGTERM');
    await new Promise((resolve) => agent.child.once('exit', resolve));
    neighbour.close();
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  });
  gateway.table.upsertSandbox(sandboxOf(A));
  gateway.table.upsertSlice(sliceOf(A, POD, { agent: agentPort }));

  const port = await freePort();
  const call = caller(`http://${POD}:${agentPort}`, keyOf(A));
  const { id } = (await call('POST', '/api/conversations', lineRunner())).body as { id: string };
  const app = `(echo hello; seq 100000) > page.txt; python3 -m http.server --bind 127.0.0.1 ${port} > /dev/null 2>&1 &`;
  await call('POST', `/api/conversations/${id}/events`, says(app));
  const ask = (at: number, path: string) =>
    get(gateway.port, A, path, { headers: { host: hostOf(A, String(at)), 'x-session-api-key': keyOf(A) } });
  const page = await until(
    () => ask(port, '/page.txt'),
    ({ status }) => status === 200,
  );
  t.match(page.text, /^hello\n1\n2\n[\s\S]*\n100000\n$/, 'whole');
  t.match(await ask(port, '/nothing'), { status: 404 });
  t.match(await ask((neighbour.address() as AddressInfo).port, '/'), {
    status: 502,
    headers: { 'x-sandlot-reason': 'NothingListening' },
  });
  const stranger = await get(gateway.port, A, '/page.txt', {
    headers: { host: hostOf(A, String(port)), 'x-session-api-key': 'wrong' },
  });
  t.equal(stranger.status, 401);
});
