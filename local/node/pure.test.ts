import t from 'tap';
import type { Container, EndpointSlice, Pod, Probe, Service } from '../../kube/kinds.js';
import { createPool } from './addresses.js';
import { bindingOf } from './controllers/claims.js';
import { changesOf, slicesOf } from './controllers/slices.js';
import { expand, resolveEnv } from './env.js';
import { quantityValue, resourceValue } from './fields.js';
import { commandOf, imageCommand, repositoryOf } from './images.js';
import { parseLogLine } from './logs.js';
import { countResult, portNumber } from './probes.js';
import { parseStat } from './processes.js';
import { referencesOf } from './references.js';
import { rewritePath } from './rewrite.js';
import { exitOf } from './spawn.js';
import { freshFacts, podStatus, qosClass, type ContainerFacts, type PodSnapshot, type State } from './status.js';
import { exitStatus } from './streams/exec.js';
import { containerName, logQuery } from './streams/handlers.js';
import { portsOf } from './streams/portforward.js';
import { filesOf } from './volumes.js';

const container = (more: Partial<Container> = {}): Container => ({
  name: 'agent',
  image: 'sandlot/sandbox:1',
  ...more,
});
const podOf = (more: Partial<Pod> = {}): Pod => ({
  metadata: { name: 'a', namespace: 'default', uid: 'u-1', labels: { app: 'x', team: 'y' } },
  spec: { containers: [container()], nodeName: 'sandlot' },
  ...more,
});
const facts = { pod: podOf(), podIP: '127.5.0.1', hostIP: '127.0.0.1', nodeName: 'sandlot' };
const base64 = (text: string) => Buffer.from(text).toString('base64');
const references = {
  secret: (name: string) =>
    name === 's' ? { metadata: { name }, data: { k: base64('hush'), 'a-b': base64('dash') } } : undefined,
  configMap: (name: string) => (name === 'm' ? { metadata: { name }, data: { k: 'plain' } } : undefined),
};

t.test('$(VAR) expansion', async (t) => {
  const env = { A: '1', B: '$(A)' };
  for (const [text, wanted] of [
    ['$(A)', '1'],
    ['x$(A)y$(A)', 'x1y1'],
    ['$(MISSING)', '$(MISSING)'],
    ['$$(A)', '$(A)'],
    ['$$$(A)', '$1'],
    ['$A ${A} $(A', '$A ${A} $(A'],
    ['$(B)', '$(A)'],
    ['$(toString)', '$(toString)'],
  ] as const)
    t.equal(expand(text, env), wanted, text);
});

t.test('environment', async (t) => {
  const env = (more: Partial<Container>) => resolveEnv(container(more), facts, references);
  t.same(
    env({
      envFrom: [{ secretRef: { name: 's' }, prefix: 'P_' }, { configMapRef: { name: 'm' } }],
      env: [
        { name: 'k', value: 'own $(P_k)' },
        { name: 'SECRET', valueFrom: { secretKeyRef: { name: 's', key: 'k' } } },
        { name: 'MAP', valueFrom: { configMapKeyRef: { name: 'm', key: 'k' } } },
        { name: 'NONE', valueFrom: { secretKeyRef: { name: 'other', key: 'k', optional: true } } },
        { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
        { name: 'LABEL', valueFrom: { fieldRef: { fieldPath: "metadata.labels['team']" } } },
        { name: 'LATER', value: '$(IP):$(AFTER)' },
        { name: 'AFTER', value: 'z' },
      ],
    }),
    {
      P_k: 'hush',
      'P_a-b': 'dash',
      k: 'own hush',
      SECRET: 'hush',
      MAP: 'plain',
      IP: '127.5.0.1',
      LABEL: 'y',
      LATER: '127.5.0.1:$(AFTER)',
      AFTER: 'z',
    },
  );
  const wrong: [Partial<Container>, string][] = [
    [{ envFrom: [{ secretRef: { name: 'no' } }] }, 'secret "no" not found'],
    [{ env: [{ name: 'X', valueFrom: { configMapKeyRef: { name: 'no', key: 'k' } } }] }, 'configmap "no" not found'],
    [
      { env: [{ name: 'X', valueFrom: { secretKeyRef: { name: 's', key: 'no' } } }] },
      "couldn't find key no in Secret default/s",
    ],
    [{ env: [{ name: 'X', valueFrom: { fieldRef: { fieldPath: 'spec.no' } } }] }, 'unsupported fieldPath: spec.no'],
  ];
  for (const [more, message] of wrong) t.throws(() => env(more), { name: 'ContainerConfigError', message });
  const limited = container({ resources: { limits: { cpu: '1500m', memory: '2Gi' } } });
  t.equal(resourceValue({ resource: 'limits.cpu' }, limited), '2');
  t.equal(resourceValue({ resource: 'limits.memory', divisor: '1Mi' }, limited), '2048');
  t.same(
    [quantityValue('500m'), quantityValue('1e3'), quantityValue('2Ki'), quantityValue('x')],
    [0.5, 1000, 2048, undefined],
  );
});

t.test('paths below mounts are rewritten, others are not', async (t) => {
  const mounts = [
    { mountPath: '/workspace', folder: '/data/w', readOnly: false },
    { mountPath: '/workspace/cache/', folder: '/data/c', readOnly: false },
  ];
  for (const [from, to] of [
    ['/workspace', '/data/w'],
    ['/workspace/', '/data/w/'],
    ['/workspace/a/b', '/data/w/a/b'],
    ['/workspace/cache/x', '/data/c/x'],
    ['/workspacex', '/workspacex'],
    ['--dir=/workspace', '--dir=/workspace'],
    ['workspace', 'workspace'],
  ] as const)
    t.equal(rewritePath(from, mounts), to, from);
  t.equal(rewritePath('/etc/x', [{ mountPath: '/', folder: '/data/r', readOnly: false }]), '/data/r/etc/x');
});

t.test('images', async (t) => {
  for (const [image, repository] of [
    ['a', 'a'],
    ['a:1', 'a'],
    ['r:5000/a/b', 'r:5000/a/b'],
    ['r:5000/a/b:1@sha256:00', 'r:5000/a/b'],
  ] as const)
    t.equal(repositoryOf(image), repository);
  const images = { 'sandlot/sandbox': ['node', 'x'] };
  t.same(imageCommand('ghcr.io/sandlot/sandbox:0.1', images), ['node', 'x']);
  t.equal(imageCommand('evilsandlot/sandbox', images), undefined);
  t.same(commandOf(container({ args: ['-v'] }), images), { argv: ['node', 'x', '-v'] });
  t.same(commandOf(container({ image: 'nginx', command: ['sh'] }), images), { argv: ['sh'] });
  t.match(commandOf(container({ image: 'nginx' }), images), { message: /pulls no images.*sandlot\/sandbox.*"nginx"/ });
});

const snapshot = (...states: { state: State; more?: Partial<ContainerFacts> }[]): PodSnapshot => ({
  podIP: '127.5.0.1',
  hostIP: '127.0.0.1',
  startedAt: 0,
  sandboxReady: true,
  init: [],
  containers: states.map(({ state, more }, index) => ({
    ...freshFacts(container({ name: `c${index}` }), false),
    state,
    ...more,
  })),
});
const running: State = { type: 'running', startedAt: 0 };
const waiting: State = { type: 'waiting', reason: 'ContainerCreating' };
const ended = (exitCode: number): State => ({
  type: 'terminated',
  exitCode,
  reason: 'x',
  startedAt: 0,
  finishedAt: 1,
  id: 'i',
});

t.test('phase and conditions', async (t) => {
  const last = { exitCode: 1, reason: 'Error', startedAt: 0, finishedAt: 1, id: 'i' };
  const cases: [string, 'Always' | 'OnFailure' | 'Never', PodSnapshot, string, string | undefined][] = [
    ['not started', 'Always', snapshot({ state: waiting }), 'Pending', 'ContainersNotReady'],
    ['running, not ready', 'Always', snapshot({ state: running }), 'Running', 'ContainersNotReady'],
    ['ready', 'Always', snapshot({ state: running, more: { ready: true } }), 'Running', undefined],
    ['one of two waits', 'Always', snapshot({ state: running }, { state: waiting }), 'Pending', 'ContainersNotReady'],
    [
      'crash loop',
      'Always',
      snapshot({ state: { type: 'waiting', reason: 'CrashLoopBackOff' }, more: { last } }),
      'Running',
      'ContainersNotReady',
    ],
    ['ended, Always', 'Always', snapshot({ state: ended(0) }), 'Running', 'ContainersNotReady'],
    ['ended well', 'Never', snapshot({ state: ended(0) }), 'Succeeded', 'PodCompleted'],
    ['ended badly', 'Never', snapshot({ state: ended(1) }), 'Failed', 'PodFailed'],
    ['one runs on', 'Never', snapshot({ state: ended(1) }, { state: running }), 'Running', 'ContainersNotReady'],
    ['ended badly, again', 'OnFailure', snapshot({ state: ended(1) }), 'Running', 'ContainersNotReady'],
  ];
  for (const [name, restartPolicy, given, phase, reason] of cases) {
    const pod = podOf({ spec: { containers: given.containers.map(({ name }) => container({ name })), restartPolicy } });
    const status = podStatus(pod, given, 0);
    const ready = status.conditions?.find(({ type }) => type === 'Ready');
    t.same(
      [status.phase, ready?.reason, ready?.status],
      [phase, reason, reason === undefined ? 'True' : 'False'],
      name,
    );
  }
});

t.test('times of conditions move only with their status; other people stay in the list', async (t) => {
  const first = podStatus(podOf(), snapshot({ state: running }), 1_000);
  const pod = podOf({
    status: { ...first, conditions: [...(first.conditions ?? []), { type: 'mine', status: 'True' }] },
  });
  const second = podStatus(pod, snapshot({ state: running, more: { ready: true } }), 61_000);
  const time = (type: string) => second.conditions?.find((condition) => condition.type === type)?.lastTransitionTime;
  t.equal(time('Initialized'), '1970-01-01T00:00:01Z');
  t.equal(time('Ready'), '1970-01-01T00:01:01Z');
  t.ok(second.conditions?.some(({ type }) => type === 'mine'));
});

t.test('init containers hold the pod back', async (t) => {
  const spec = { containers: [container()], initContainers: [container({ name: 'i' })] };
  const init = (state: State) => ({
    ...snapshot({ state: waiting }),
    init: [{ ...freshFacts(container({ name: 'i' }), false), state }],
  });
  t.match(podStatus(podOf({ spec }), init(running), 0), { phase: 'Pending' });
  const done = podStatus(podOf({ spec }), init(ended(0)), 0);
  t.match(done.initContainerStatuses, [{ name: 'i', ready: true }]);
  t.match(podStatus(podOf({ spec: { ...spec, restartPolicy: 'Never' } }), init(ended(1)), 0), { phase: 'Failed' });
});

t.test('quality of service', async (t) => {
  const of = (resources: Container['resources']) =>
    qosClass(podOf({ spec: { containers: [container(resources === undefined ? {} : { resources })] } }));
  t.equal(of(undefined), 'BestEffort');
  t.equal(of({ limits: { cpu: '1', memory: '1Gi' } }), 'Guaranteed');
  t.equal(of({ limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '1000m', memory: '1024Mi' } }), 'Guaranteed');
  t.equal(of({ requests: { cpu: '1' } }), 'Burstable');
});

t.test('EndpointSlices: one for each set of ports, readiness, names', async (t) => {
  const service: Service = {
    metadata: { name: 'svc', namespace: 'default', uid: 's-1', labels: { own: 'label' } },
    spec: {
      clusterIP: 'None',
      selector: { app: 'x' },
      ports: [
        { name: 'http', port: 80, targetPort: 'web' },
        { name: 'raw', port: 9 },
      ],
    },
  };
  const pod = (
    name: string,
    port: number,
    more: { ready?: boolean; phase?: 'Running' | 'Failed'; ip?: string; gone?: boolean } = {},
  ): Pod => ({
    metadata: {
      name,
      namespace: 'default',
      uid: name,
      labels: { app: 'x' },
      ...(more.gone ? { deletionTimestamp: 'now' } : {}),
    },
    spec: {
      hostname: name,
      subdomain: 'svc',
      containers: [container({ ports: [{ name: 'web', containerPort: port }] })],
    },
    status: {
      phase: more.phase ?? 'Running',
      ...(more.ip === '' ? {} : { podIP: more.ip ?? `127.0.0.${port % 100}` }),
      conditions: [{ type: 'Ready', status: more.ready === false ? 'False' : 'True' }],
    },
  });
  const slices = slicesOf(service, [
    pod('b', 8001),
    pod('a', 8001, { ready: false }),
    pod('c', 8002, { gone: true }),
    pod('failed', 8001, { phase: 'Failed' }),
    pod('young', 8001, { ip: '' }),
    { ...pod('other', 8001), metadata: { name: 'other', namespace: 'elsewhere', labels: { app: 'x' } } },
  ]);
  t.same(
    slices.map(({ ports }) => ports?.map(({ name, port }) => `${name}:${port}`)),
    [
      ['http:8001', 'raw:9'],
      ['http:8002', 'raw:9'],
    ],
  );
  t.same(
    slices.flatMap(({ endpoints }) => endpoints.map(({ hostname, conditions }) => [hostname, conditions])),
    [
      ['a', { ready: false, serving: false, terminating: false }],
      ['b', { ready: true, serving: true, terminating: false }],
      ['c', { ready: false, serving: true, terminating: true }],
    ],
  );
  t.match(slices[0]?.metadata.labels, {
    'kubernetes.io/service-name': 'svc',
    own: 'label',
    'service.kubernetes.io/headless': '',
  });
  const [first, second] = slices as [EndpointSlice, EndpointSlice];
  const changed = { ...first, endpoints: first.endpoints.slice(1) };
  const stale = { ...second, metadata: { ...second.metadata, name: 'svc-old' } };
  const changes = changesOf([changed, stale], slices);
  t.same(
    [changes.create.length, changes.update.length, changes.remove.map(({ metadata }) => metadata.name)],
    [1, 1, ['svc-old']],
  );
  t.same(changesOf(slices, slices), { create: [], update: [], remove: [] });
});

t.test('claims are bound once', async (t) => {
  const claim = {
    metadata: { name: 'c', uid: 'u' },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
  };
  const change = bindingOf(claim);
  t.match(change, { status: { phase: 'Bound', capacity: { storage: '1Gi' } }, spec: { volumeName: 'folder-u' } });
  t.equal(
    bindingOf({
      ...claim,
      spec: { ...claim.spec, volumeName: 'v' },
      metadata: { ...claim.metadata, finalizers: ['kubernetes.io/pvc-protection'] },
      ...(change === undefined ? {} : { status: change.status }),
    }),
    undefined,
  );
});

t.test('volumes of objects', async (t) => {
  const context = { facts, references };
  const paths = (volume: Parameters<typeof filesOf>[0]) =>
    filesOf(volume, context)?.map(({ path, data, mode }) => [path, String(data), mode]);
  t.same(paths({ name: 'v', secret: { secretName: 's', items: [{ key: 'k', path: 'd/k', mode: 0o400 }] } }), [
    ['d/k', 'hush', 0o400],
  ]);
  t.same(paths({ name: 'v', configMap: { name: 'm' } }), [['k', 'plain', 0o644]]);
  t.same(paths({ name: 'v', downwardAPI: { items: [{ path: 'n', fieldRef: { fieldPath: 'metadata.name' } }] } }), [
    ['n', 'a', 0o644],
  ]);
  t.same(paths({ name: 'v', secret: { secretName: 'no', optional: true } }), []);
  t.throws(() => paths({ name: 'v', secret: { secretName: 'no' } }), {
    name: 'VolumeError',
    message: 'secret "no" not found',
  });
  t.equal(paths({ name: 'v' }), undefined);
  const pod = podOf({
    spec: {
      containers: [container({ envFrom: [{ secretRef: { name: 's' } }] })],
      volumes: [{ name: 'p', projected: { sources: [{ configMap: { name: 'm' } }, { secret: { name: 't' } }] } }],
    },
  });
  t.same(referencesOf(pod), { secrets: ['s', 't'], configMaps: ['m'] });
});

t.test('probes: thresholds and ports', async (t) => {
  const probe: Probe = { successThreshold: 2, failureThreshold: 2 };
  let count = { successes: 0, failures: 0 };
  const verdicts = [true, true, false, true, false, false].map((ok) => {
    const next = countResult(count, ok, probe);
    count = next.count;
    return next.verdict;
  });
  t.same(verdicts, [undefined, 'success', undefined, undefined, undefined, 'failure']);
  const named = container({ ports: [{ name: 'web', containerPort: 81 }] });
  t.same(
    [portNumber(80, named), portNumber('80', named), portNumber('web', named), portNumber('no', named)],
    [80, 80, 81, undefined],
  );
});

t.test('processes and addresses', async (t) => {
  const line = `12 (a (b) c) S 1 7 9 ${Array.from({ length: 15 }, (_, index) => index).join(' ')} 4711 0`;
  t.same(parseStat(line), { pid: 12, parent: 1, group: 7, session: 9, started: '4711' });
  t.equal(parseStat('12 (x) Z 1 7 9'), undefined);
  t.same([exitOf(3, null), exitOf(null, 'SIGKILL')], [{ exitCode: 3 }, { exitCode: 137, signal: 9 }]);
  const pool = createPool(9);
  t.equal(pool.take('a'), '127.9.0.1');
  t.equal(pool.take('a'), '127.9.0.1', 'the same again');
  t.equal(pool.take('b', '127.9.0.7'), '127.9.0.7', 'the one it had');
  t.equal(pool.take('c', '127.9.0.7'), '127.9.0.2', 'unless taken');
  t.equal(pool.take('d', '127.8.0.1'), '127.9.0.3', 'or of another cluster');
  pool.release('a');
  t.equal(pool.take('e'), '127.9.0.4', 'a freed address rests');
});

t.test('queries of logs, exec and port-forward', async (t) => {
  const query = (text: string) => new URLSearchParams(text);
  const two = podOf({ spec: { containers: [container({ name: 'x' }), container({ name: 'y' })] } });
  t.equal(containerName(podOf(), query('')), 'agent');
  t.equal(containerName(two, query('container=y')), 'y');
  t.equal(
    containerName(
      { ...two, metadata: { name: 'a', annotations: { 'kubectl.kubernetes.io/default-container': 'y' } } },
      query(''),
    ),
    'y',
  );
  t.throws(() => containerName(two, query('')), { message: /choose one of: \[x y\]/ });
  t.throws(() => containerName(two, query('container=z')), { message: 'container z is not valid for pod a' });
  t.match(logQuery(query('follow=true&tailLines=3&sinceSeconds=10'), 20_000), {
    follow: true,
    tailLines: 3,
    since: 10_000,
  });
  t.throws(() => logQuery(query('tailLines=-1'), 0), { message: 'invalid tailLines: must be a whole number' });
  t.same(portsOf(query('ports=1,2&ports=3')), [1, 2, 3]);
  for (const wrong of ['', 'ports=0', 'ports=70000', 'ports=x']) t.equal(portsOf(query(wrong)), undefined, wrong);
  t.match(JSON.parse(exitStatus(3)), {
    status: 'Failure',
    details: { causes: [{ reason: 'ExitCode', message: '3' }] },
  });
  t.same(parseLogLine('2026-01-01T00:00:00Z stdout P part'), { time: '2026-01-01T00:00:00Z', text: 'part' });
});
