/** Real pods on the one-machine cluster: status, volumes, logs, exec, port-forward, probes, restarts, ends. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { WebSocket } from 'ws';
import { isNotFound } from '../../kube/client.js';
import { CONFIG_MAP, ENDPOINT_SLICE, POD, PVC, SECRET, SERVICE, type PodSpec } from '../../kube/kinds.js';
import { openPortForward } from '../../kube/portforward.js';
import { systemClock } from '../../process/clock.js';
import { listProcesses, membersOf } from './processes.js';
import { createPod, isReady, podUntil, startCluster } from './testing/cluster.js';

const cluster = await startCluster();
t.teardown(() => cluster.stop());

const logs = async (name: string, query = {}): Promise<string> =>
  (await cluster.client.raw({ path: `/api/v1/namespaces/default/pods/${name}/log`, query })).text;
const sh = (script: string, more: Partial<PodSpec['containers'][number]> = {}): PodSpec => ({
  containers: [{ name: 'main', image: 'any', command: ['sh', '-c', script], ...more }],
});
const gone = async (name: string): Promise<void> => {
  for (let tries = 0; tries < 600; tries++) {
    const found = await cluster.client.get(POD, { namespace: 'default', name }).catch((error: unknown) => {
      if (isNotFound(error)) return undefined;
      throw error;
    });
    if (found === undefined) return;
    await systemClock.sleep(30);
  }
  throw new Error(`pod ${name} is still there`);
};
const remove = async (name: string): Promise<void> => {
  await cluster.client.delete(POD, { namespace: 'default', name });
  await gone(name);
};
const processesOf = (uid: string) => membersOf({ markPrefix: `${cluster.node.node.mark}/${uid}/`, leaders: [] });

/** A web server that answers with a text, on the pod's own address. */
const SERVER = `require('http').createServer((q, r) => r.end('hello from ' + process.env.HOST)).listen(8080, process.env.HOST)`;

t.test('environment, volumes and init containers come together; a claim outlives its pod', async (t) => {
  const { client } = cluster;
  const metadata = (name: string) => ({ name, namespace: 'default' });
  await client.create(SECRET, { metadata: metadata('s'), data: { key: Buffer.from('hush').toString('base64') } });
  await client.create(CONFIG_MAP, { metadata: metadata('m'), data: { file: 'from a map' } });
  await client.create(PVC, {
    metadata: metadata('c'),
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
  });
  const mounts = [
    { name: 'data', mountPath: '/data' },
    { name: 'map', mountPath: '/etc/map' },
  ];
  const spec: PodSpec = {
    restartPolicy: 'Never',
    initContainers: [
      { name: 'first', image: 'any', command: ['cp', '/etc/map/file', '/data/copy'], volumeMounts: mounts },
    ],
    containers: [
      {
        name: 'main',
        image: 'any',
        command: [
          'sh',
          '-c',
          'echo "$KEY $WHERE $(cat $WHERE/copy) $0" | sed s,$WHERE,FOLDER,g; echo kept > $WHERE/kept',
          '$(KEY)',
        ],
        env: [
          { name: 'KEY', valueFrom: { secretKeyRef: { name: 's', key: 'key' } } },
          { name: 'WHERE', value: '/data' },
        ],
        volumeMounts: mounts,
      },
    ],
    volumes: [
      { name: 'data', persistentVolumeClaim: { claimName: 'c' } },
      { name: 'map', configMap: { name: 'm' } },
    ],
  };
  await createPod(cluster, 'parts', spec);
  await podUntil(cluster, 'parts', 'over', ({ status }) => status?.phase === 'Succeeded');
  t.equal(await logs('parts'), 'hush FOLDER from a map hush\n');
  const claim = await client.get(PVC, metadata('c'));
  t.match(claim, { status: { phase: 'Bound', capacity: { storage: '1Gi' } } });
  const folder = cluster.node.node.layout.claim(claim);
  await client.delete(PVC, metadata('c'));
  t.ok(existsSync(join(folder, 'kept')), 'a deleted claim keeps its folder while a pod uses it');
  const { uid } = (await client.get(POD, metadata('parts'))).metadata;
  await remove('parts');
  const goes = async (path: string): Promise<boolean> => {
    for (let tries = 0; existsSync(path) && tries < 500; tries++) await systemClock.sleep(20);
    return !existsSync(path);
  };
  t.ok(await goes(folder), 'then it goes');
  t.ok(await goes(cluster.node.node.layout.pod(uid ?? '').root), "and so does the pod's");
});

t.test('an ephemeral volume: a claim that goes with its pod, unless it has another owner', async (t) => {
  const volumeClaimTemplate = {
    metadata: { labels: { of: 'pod' } },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
  };
  const { client } = cluster;
  const metadata = (name: string) => ({ name, namespace: 'default' });
  const spec: PodSpec = {
    ...sh('echo here > $WHERE/file', {
      env: [{ name: 'WHERE', value: '/data' }],
      volumeMounts: [{ name: 'data', mountPath: '/data' }],
    }),
    restartPolicy: 'Never',
    volumes: [{ name: 'data', ephemeral: { volumeClaimTemplate } }],
  };
  const claimOf = (pod: string) => client.get(PVC, metadata(`${pod}-data`)).catch(() => undefined);
  for (const name of ['lets-go', 'is-kept']) {
    await createPod(cluster, name, spec);
    await podUntil(cluster, name, 'over', ({ status }) => status?.phase === 'Succeeded');
  }
  const claim = await claimOf('is-kept');
  const [owner] = claim?.metadata.ownerReferences ?? [];
  t.match(claim, { metadata: { labels: { of: 'pod' } }, status: { phase: 'Bound' } });
  t.match(owner, { kind: 'Pod', name: 'is-kept', controller: true });
  const map = await client.create(CONFIG_MAP, { metadata: metadata('keeper') });
  const ownerReferences = [owner, { apiVersion: 'v1', kind: 'ConfigMap', name: 'keeper', uid: map.metadata.uid }];
  await client.patch(PVC, metadata('is-kept-data'), { metadata: { ownerReferences } }, { type: 'merge' });
  await remove('lets-go');
  await remove('is-kept');
  for (let tries = 0; (await claimOf('lets-go')) !== undefined && tries < 500; tries++) await systemClock.sleep(20);
  t.equal(await claimOf('lets-go'), undefined);
  t.match((await claimOf('is-kept'))?.metadata.ownerReferences, [{ kind: 'ConfigMap' }]);
});

t.test('a clean environment', async (t) => {
  process.env['SANDLOT_TEST_LEAK'] = 'leaked';
  t.teardown(() => delete process.env['SANDLOT_TEST_LEAK']);
  await createPod(cluster, 'env', {
    restartPolicy: 'Never',
    ...sh(`awk 'BEGIN { for (name in ENVIRON) print name }' | sort`),
  });
  await podUntil(cluster, 'env', 'over', ({ status }) => status?.phase === 'Succeeded');
  const names = (await logs('env')).trim().split('\n');
  const own = new Set([
    'HOME',
    'HOST',
    'HOSTNAME',
    'K8S_PROCESS_POD',
    'LANG',
    'PATH',
    'PWD',
    'TMPDIR',
    'SHLVL',
    'AWKPATH',
    'AWKLIBPATH',
    '_',
    'OLDPWD',
  ]);
  t.same(
    // tap puts its own into every child of a test.
    names.filter((name) => !own.has(name) && name !== 'NODE_OPTIONS' && !name.startsWith('_TAPJS')),
    [],
  );
  await remove('env');
});

t.test('what cannot run says why', async (t) => {
  await createPod(cluster, 'image', { containers: [{ name: 'main', image: 'nginx' }] });
  await createPod(cluster, 'secret', sh('true', { envFrom: [{ secretRef: { name: 'missing' } }] }));
  await createPod(cluster, 'program', {
    restartPolicy: 'Never',
    containers: [{ name: 'main', image: 'any', command: ['no-such-program'] }],
  });
  const state = ({ status }: { status?: { containerStatuses?: { state?: { waiting?: { reason?: string } } }[] } }) =>
    status?.containerStatuses?.[0]?.state;
  const image = await podUntil(cluster, 'image', 'refused', (pod) => state(pod)?.waiting?.reason === 'ErrImagePull');
  t.match(image.status?.containerStatuses?.[0]?.state?.waiting?.message, /pulls no images/);
  const secret = await podUntil(
    cluster,
    'secret',
    'refused',
    (pod) => state(pod)?.waiting?.reason === 'CreateContainerConfigError',
  );
  t.equal(secret.status?.containerStatuses?.[0]?.state?.waiting?.message, 'secret "missing" not found');
  const program = await podUntil(cluster, 'program', 'failed', ({ status }) => status?.phase === 'Failed');
  t.match(program.status?.containerStatuses?.[0]?.state?.terminated, {
    exitCode: 128,
    reason: 'StartError',
    message: /executable file not found/,
  });
  await t.rejects(logs('image'), { code: 400, message: /is waiting to start: ErrImagePull/ });
  await Promise.all(['image', 'secret', 'program'].map(remove));
});

t.test('probes, EndpointSlices and port-forward', async (t) => {
  await cluster.client.create(SERVICE, {
    metadata: { name: 'web', namespace: 'default' },
    spec: { selector: { app: 'web' }, ports: [{ name: 'http', port: 80, targetPort: 'http' }] },
  });
  const spec = sh('', {
    command: [process.execPath, '-e', SERVER],
    ports: [{ name: 'http', containerPort: 8080 }],
    startupProbe: { httpGet: { path: '/', port: 'http' }, periodSeconds: 1, failureThreshold: 60 },
    readinessProbe: { exec: { command: ['test', '!', '-e', 'unready'] }, periodSeconds: 1, failureThreshold: 1 },
  });
  await createPod(cluster, 'web', spec, { app: 'web' });
  const pod = await podUntil(cluster, 'web', 'ready', isReady);
  const slice = async (ready: boolean) => {
    for (let tries = 0; tries < 600; tries++) {
      const { items } = await cluster.client.list(ENDPOINT_SLICE, {
        namespace: 'default',
        labelSelector: 'kubernetes.io/service-name=web',
      });
      if (items[0]?.endpoints[0]?.conditions?.ready === ready) return items[0];
      await systemClock.sleep(30);
    }
    throw new Error('the slice did not follow');
  };
  t.match(await slice(true), {
    ports: [{ name: 'http', port: 8080 }],
    endpoints: [{ addresses: [pod.status?.podIP], targetRef: { name: 'web' } }],
  });

  const stream = await openPortForward({
    config: cluster.client.config,
    pod: { namespace: 'default', name: 'web' },
    port: 8080,
  });
  stream.write('GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
  let answer = '';
  for await (const chunk of stream) answer += String(chunk);
  t.match(answer, `hello from ${pod.status?.podIP}`);

  t.equal((await runIn('web', ['touch', 'unready'])).code, 0);
  await slice(false);
  await remove('web');
});

t.test('exec: output, exit code, input, terminal', async (t) => {
  await createPod(cluster, 'exec', sh('exec sleep 1000'));
  await podUntil(cluster, 'exec', 'ready', isReady);
  t.same(await runIn('exec', ['sh', '-c', 'echo out; echo err >&2; exit 3']), { code: 3, out: 'out\n', err: 'err\n' });
  t.same(await runIn('exec', ['cat'], { input: 'typed\n' }), { code: 0, out: 'typed\n', err: '' });
  const tty = await runIn('exec', ['sh', '-c', 'stty size; test -t 0 && echo terminal'], { tty: true });
  t.match(tty, { code: 0, out: '24 80\r\nterminal\r\n' });
  t.match(await runIn('exec', ['no-such-program']), { code: -1 });
  await remove('exec');
});

t.test('kill -9, crash loop, previous log', async (t) => {
  await createPod(cluster, 'crash', sh('echo run; (setsid sleep 998 &) ; exec sleep 999'));
  const first = await podUntil(cluster, 'crash', 'running', isReady);
  const members = await processesOf(first.metadata.uid ?? '');
  t.ok(members.length >= 2, 'the container and what it left running');
  for (const { pid } of members.filter(({ pid, session }) => pid === session)) {
    if (readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('999')) process.kill(pid, 'SIGKILL');
  }
  const second = await podUntil(
    cluster,
    'crash',
    'restarted',
    ({ status }) =>
      status?.containerStatuses?.[0]?.restartCount === 1 && status.containerStatuses[0].state?.running !== undefined,
  );
  t.match(second.status?.containerStatuses?.[0], {
    lastState: { terminated: { exitCode: 137, signal: 9, reason: 'Error' } },
  });
  t.equal(second.status?.podIP, first.status?.podIP, 'at the same address');
  const alive = new Set((await listProcesses()).map(({ pid }) => pid));
  t.same(
    members.filter(({ pid }) => alive.has(pid)),
    [],
    'nothing of the first run is left',
  );
  t.equal(await logs('crash', { previous: true }), 'run\n');
  await remove('crash');
  t.same(await processesOf(first.metadata.uid ?? ''), [], 'nothing of the pod is left, not even what left its session');

  await createPod(cluster, 'loop', sh('exit 1'));
  await podUntil(
    cluster,
    'loop',
    'backing off',
    ({ status }) => status?.containerStatuses?.[0]?.state?.waiting?.reason === 'CrashLoopBackOff',
  );
  await remove('loop');
});

t.test('liveness ends a container; a graceful stop lets it finish, a deaf one is killed', async (t) => {
  await createPod(
    cluster,
    'sick',
    sh('exec sleep 1000', { livenessProbe: { exec: { command: ['false'] }, periodSeconds: 1, failureThreshold: 1 } }),
  );
  await podUntil(cluster, 'sick', 'restarted', ({ status }) => (status?.containerStatuses?.[0]?.restartCount ?? 0) > 0);
  await remove('sick');

  const grace = { terminationGracePeriodSeconds: 30 };
  await createPod(cluster, 'polite', {
    ...grace,
    ...sh('trap "echo bye; exit 0" TERM; echo up; while :; do sleep 0.05; done'),
  });
  await podUntil(cluster, 'polite', 'running', isReady);
  while ((await logs('polite')) === '') await systemClock.sleep(20);
  const following = logs('polite', { follow: true });
  await remove('polite');
  // A shell also tells of its sleep, which got the signal too.
  t.match(await following, /^up\n(Terminated\n)?bye\n$/);

  await createPod(cluster, 'deaf', {
    ...sh('trap "" TERM; echo up; while :; do sleep 0.05; done'),
    terminationGracePeriodSeconds: 1,
  });
  await podUntil(cluster, 'deaf', 'running', isReady);
  await remove('deaf');
});

t.test('a node that starts again runs its pods in place', async (t) => {
  await createPod(cluster, 'stays', sh('echo run; exec sleep 1000'));
  const before = await podUntil(cluster, 'stays', 'running', isReady);
  await cluster.restart();
  t.same(
    await membersOf({ markPrefix: `${cluster.node.node.mark}/${before.metadata.uid}/main/0`, leaders: [] }),
    [],
    'no process of the first run',
  );
  const after = await podUntil(
    cluster,
    'stays',
    'running again',
    (pod) => isReady(pod) && pod.status?.containerStatuses?.[0]?.restartCount === 1,
  );
  t.equal(after.metadata.uid, before.metadata.uid);
  t.match(after.status?.containerStatuses?.[0]?.lastState?.terminated, { exitCode: 137, reason: 'Unknown' });
  await remove('stays');
});

interface Ran {
  code: number;
  out: string;
  err: string;
}

/** exec as kubectl does it: WebSocket, v5.channel.k8s.io. Code -1: it could not be started. */
async function runIn(
  pod: string,
  command: string[],
  { input, tty = false }: { input?: string; tty?: boolean } = {},
): Promise<Ran> {
  const query = new URLSearchParams({
    stdout: 'true',
    stderr: String(!tty),
    stdin: String(input !== undefined),
    tty: String(tty),
  });
  for (const word of command) query.append('command', word);
  const { headers } = await cluster.client.config.credentials();
  const url = `${cluster.api.url.replace(/^http/, 'ws')}/api/v1/namespaces/default/pods/${pod}/exec?${query.toString()}`;
  const socket = new WebSocket(url, ['v5.channel.k8s.io'], { headers });
  const text: Record<number, string> = { 1: '', 2: '', 3: '' };
  return await new Promise((resolve, reject) => {
    socket.on('open', () => {
      if (input === undefined) return;
      socket.send(Buffer.concat([Buffer.of(0), Buffer.from(input)]));
      socket.send(Buffer.of(255, 0));
    });
    socket.on('message', (frame: Buffer) => (text[frame[0] ?? 0] += frame.subarray(1).toString('utf8')));
    socket.on('error', reject);
    socket.on('close', () => {
      const status = JSON.parse(text[3] || '{}') as { status?: string; details?: { causes?: { message: string }[] } };
      const code = status.status === 'Success' ? 0 : Number(status.details?.causes?.[0]?.message ?? -1);
      resolve({ code, out: text[1] ?? '', err: text[2] ?? '' });
    });
  });
}
