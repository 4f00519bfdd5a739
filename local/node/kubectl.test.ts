/** The real kubectl against the one-machine cluster, where one is found: KUBECTL, the cache of test/kube, PATH. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import t from 'tap';
import { createPod, isReady, podUntil, startCluster } from './testing/cluster.js';

const candidates = [
  process.env['KUBECTL'] ?? '',
  join(homedir(), '.cache', 'sandlot-kube', 'kubectl'),
  ...(process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, 'kubectl')),
];
const kubectl = candidates.find((file) => file !== '' && existsSync(file));

t.test('kubectl', { skip: kubectl === undefined ? 'no kubectl on this machine' : false }, async (t) => {
  const cluster = await startCluster();
  t.teardown(() => cluster.stop());
  const env = { ...process.env, KUBECONFIG: cluster.kubeconfig, HOME: cluster.folder };
  interface Said {
    code: number | null;
    out: string;
    err: string;
  }
  /** Beside this process's own event loop: the API server is in it. */
  const run = (args: string[], more: { input?: string; env?: NodeJS.ProcessEnv } = {}): Promise<Said> =>
    new Promise((resolve) => {
      const child = spawn(kubectl ?? '', args, { env: { ...env, ...more.env }, stdio: 'pipe' });
      let [out, err] = ['', ''];
      child.stdout.on('data', (chunk) => (out += String(chunk)));
      child.stderr.on('data', (chunk) => (err += String(chunk)));
      child.stdin.end(more.input ?? '');
      child.once('close', (code) => resolve({ code, out, err }));
    });

  const server = `require('http').createServer((q, r) => r.end('served')).listen(8080, process.env.HOST)`;
  const manifest = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'web' },
    spec: {
      terminationGracePeriodSeconds: 1,
      containers: [
        {
          name: 'main',
          image: 'any',
          command: [process.execPath, '-e', `console.log('line 1'); console.log('line 2'); ${server}`],
          readinessProbe: { tcpSocket: { port: 8080 } },
        },
      ],
    },
  };
  const file = join(cluster.folder, 'pod.json');
  writeFileSync(file, JSON.stringify(manifest));

  t.match(await run(['apply', '-f', file]), { code: 0, out: 'pod/web created' });
  t.match(await run(['wait', '--for=condition=Ready', 'pod/web', '--timeout=30s']), { code: 0 });
  t.match(await run(['get', 'pods']), { code: 0, out: /web\s+1\/1\s+Running/ });
  t.match(await run(['get', 'nodes']), { code: 0, out: /sandlot\s+Ready/ });
  t.match(await run(['describe', 'pod', 'web']), { code: 0, out: /Started container main/ });
  t.same(await run(['logs', 'web']), { code: 0, out: 'line 1\nline 2\n', err: '' });
  t.same(await run(['logs', 'web', '--tail=1']), { code: 0, out: 'line 2\n', err: '' });
  t.match(await run(['logs', 'web', '--timestamps']), { out: /^\d{4}-\d\d-\d\dT\S+Z line 1\n/ });
  t.match(await run(['exec', 'web', '--', 'sh', '-c', 'echo hi; exit 4']), { code: 4, out: 'hi\n' });
  t.same(await run(['exec', '-i', 'web', '--', 'cat'], { input: 'x'.repeat(300_000) }), {
    code: 0,
    out: 'x'.repeat(300_000),
    err: '',
  });

  for (const websockets of ['true', 'false'])
    await t.test(`port-forward, over a WebSocket: ${websockets}`, async (t) => {
      const child = spawn(kubectl ?? '', ['port-forward', 'web', ':8080'], {
        env: { ...env, KUBECTL_PORT_FORWARD_WEBSOCKETS: websockets },
      });
      t.teardown(() => child.kill());
      const port = await forwardedPort(child);
      for (let round = 0; round < 3; round++)
        t.equal(await (await fetch(`http://127.0.0.1:${port}/`)).text(), 'served');
    });

  await t.test('logs -f ends with the container; delete is quick', async (t) => {
    const following = run(['logs', '-f', 'web']);
    t.match(await run(['delete', 'pod', 'web']), { code: 0 });
    t.match(await following, { code: 0, out: 'line 1\nline 2\n' });
  });

  await t.test('run -- and an unknown image', async (t) => {
    await createPod(cluster, 'sleeper', { containers: [{ name: 'main', image: 'registry.example/test/sleeper:1' }] });
    await podUntil(cluster, 'sleeper', 'ready', isReady);
    t.match(await run(['run', 'stranger', '--image=nginx', '--restart=Never']), { code: 0 });
    await podUntil(
      cluster,
      'stranger',
      'refused',
      ({ status }) => status?.containerStatuses?.[0]?.state?.waiting?.reason === 'ErrImagePull',
    );
    t.match(await run(['get', 'pod', 'stranger']), { out: /ErrImagePull/ });
  });
  t.match(execFileSync(kubectl ?? '', ['version', '--client'], { env, encoding: 'utf8' }), /Client Version/);
});

function forwardedPort(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    let text = '';
    child.once('exit', () => reject(new Error(`port-forward ended: ${text}`)));
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (chunk) => {
        text += String(chunk);
        const port = /127\.0\.0\.1:(\d+) ->/.exec(text)?.[1];
        if (port !== undefined) resolve(Number(port));
      });
  });
}
