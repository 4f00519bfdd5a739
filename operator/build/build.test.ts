/** Pure builders: what a sandbox is made of. */
import t from 'tap';
import { agentSecretKey, initKey, sessionKey } from '../../contracts/keys.js';
import type { SandboxSpec, SandboxTemplateSpec } from '../../contracts/resources.js';
import type { Secret } from '../../kube/kinds.js';
import type { Installation } from '../install.js';
import { crashDelayMs, CRASH_POLICY } from '../backoff.js';
import { describeMs, durationMs, timestamp } from '../durations.js';
import { templateHashOf } from '../pool/warm.js';
import { multiplyQuantity } from '../quantity.js';
import { builtInTemplate, shapeOf, whyCold } from '../shape.js';
import { adoptedOwners, buildWorkspaceClaim } from './claim.js';
import { childLabels, labelValue, type Holder } from './meta.js';
import { buildPod } from './pod.js';
import { buildInitKeys, buildSecret, restoredInitKeys } from './secret.js';
import { serviceName, serviceNumber } from './service.js';

const installation: Installation = {
  secret: 's'.repeat(32),
  sandboxImage: 'sandlot/sandbox:1',
  apiUrl: 'http://api:3000',
  uiOrigins: ['http://ui:1', 'http://ui:2'],
};
const slot = 'sabcdefghijklm';
const sandbox: Holder = { kind: 'sandbox', name: 'one', namespace: 'ns', uid: 'u-1' };
const pool: Holder = { kind: 'pool', name: 'warm', namespace: 'ns', uid: 'p-1', template: 'standard' };
const builtIn = shapeOf(builtInTemplate(installation));

t.test('the built-in pod, whole', async (t) => {
  const pod = buildPod({ holder: sandbox, slot, epoch: 3, restarts: 1, shape: builtIn, installation });
  const key = (name: string, of = name) => ({ name, valueFrom: { secretKeyRef: { name: `${slot}-keys`, key: of } } });
  const probe = (path: string, periodSeconds: number, failureThreshold: number) => ({
    httpGet: { path, port: 'agent' },
    timeoutSeconds: 5,
    periodSeconds,
    failureThreshold,
  });
  t.same(pod, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: slot,
      namespace: 'ns',
      labels: {
        'app.kubernetes.io/name': 'sandlot-sandbox',
        'app.kubernetes.io/managed-by': 'sandlot-operator',
        'sandlot.dev/slot': slot,
        'sandlot.dev/state': 'claimed',
        'sandlot.dev/sandbox': 'one',
        'sandlot.dev/egress': 'Internet',
        'sandlot.dev/service': serviceNumber(slot),
      },
      annotations: {
        'kubectl.kubernetes.io/default-container': 'agent',
        'sandlot.dev/key-epoch': '3',
        'sandlot.dev/restarts': '1',
      },
      ownerReferences: [
        {
          apiVersion: 'sandlot.dev/v1alpha1',
          kind: 'Sandbox',
          name: 'one',
          uid: 'u-1',
          controller: true,
          blockOwnerDeletion: true,
        },
      ],
    },
    spec: {
      hostname: slot,
      subdomain: serviceName(slot),
      restartPolicy: 'Always',
      terminationGracePeriodSeconds: 30,
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      securityContext: {
        runAsNonRoot: true,
        runAsUser: 10001,
        runAsGroup: 10001,
        fsGroup: 10001,
        fsGroupChangePolicy: 'OnRootMismatch',
        seccompProfile: { type: 'RuntimeDefault' },
      },
      containers: [
        {
          name: 'agent',
          image: 'sandlot/sandbox:1',
          env: [
            { name: 'PORT', value: '8000' },
            { name: 'OH_VSCODE_PORT', value: '8001' },
            { name: 'WORKER_1', value: '8011' },
            { name: 'WORKER_2', value: '8012' },
            { name: 'SANDLOT_WORKSPACE_ROOT', value: '/workspace' },
            { name: 'OH_CONVERSATIONS_PATH', value: '/workspace/conversations' },
            { name: 'OH_BASH_EVENTS_DIR', value: '/workspace/bash_events' },
            { name: 'OH_WEBHOOKS_0_BASE_URL', value: 'http://api:3000/api/v1/webhooks' },
            { name: 'OH_WEBHOOKS_0_FLUSH_DELAY', value: '1' },
            { name: 'OH_WEBHOOKS_0_EVENT_BUFFER_SIZE', value: '20' },
            { name: 'OH_ALLOW_CORS_ORIGINS_0', value: 'http://ui:1' },
            { name: 'OH_ALLOW_CORS_ORIGINS_1', value: 'http://ui:2' },
            key('OH_SECRET_KEY'),
            key('OH_SESSION_API_KEYS_0'),
            key('SESSION_API_KEY', 'OH_SESSION_API_KEYS_0'),
          ],
          ports: [
            { name: 'agent', containerPort: 8000, protocol: 'TCP' },
            { name: 'vscode', containerPort: 8001, protocol: 'TCP' },
            { name: 'worker-1', containerPort: 8011, protocol: 'TCP' },
            { name: 'worker-2', containerPort: 8012, protocol: 'TCP' },
          ],
          resources: {
            requests: { cpu: '100m', memory: '512Mi', 'ephemeral-storage': '1Gi' },
            limits: { cpu: '2', memory: '4Gi', 'ephemeral-storage': '10Gi' },
          },
          volumeMounts: [{ name: 'workspace', mountPath: '/workspace' }],
          startupProbe: probe('/ready', 1, 600),
          readinessProbe: probe('/ready', 5, 3),
          livenessProbe: probe('/alive', 10, 6),
          securityContext: { runAsNonRoot: true, allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
        },
      ],
      volumes: [{ name: 'workspace', persistentVolumeClaim: { claimName: `${slot}-workspace` } }],
    },
  });
  const again = buildPod({
    holder: sandbox,
    slot,
    epoch: 3,
    restarts: 1,
    shape: shapeOf(builtInTemplate(installation)),
    installation,
  });
  t.equal(JSON.stringify(again), JSON.stringify(pod), 'same input, same bytes');
});

t.test('a warm pod is dormant, without session keys, and says what it was made from', async (t) => {
  const warm = { templateHash: { whole: 'h', fit: 'f' }, initKeys: 'keys' };
  const pod = buildPod({ holder: pool, slot, epoch: 1, shape: builtIn, installation, warm });
  const env = pod.spec.containers[0]?.env ?? [];
  t.same(env.slice(-2), [
    { name: 'OH_DEFERRED_INIT', value: 'true' },
    { name: 'OH_SECRET_KEY', valueFrom: { secretKeyRef: { name: 'keys', key: slot } } },
  ]);
  t.notMatch(JSON.stringify(env), 'SESSION_API_KEY');
  t.match(pod.metadata, {
    labels: { 'sandlot.dev/state': 'warm', 'sandlot.dev/pool': 'warm', 'sandlot.dev/template': 'standard' },
    annotations: {
      'sandlot.dev/template-hash': 'h',
      'sandlot.dev/template-fit': 'f',
      'sandlot.dev/init-keys': 'keys',
    },
    ownerReferences: [{ kind: 'SandboxPool', uid: 'p-1' }],
  });
  t.notHas(pod.metadata.labels, { 'sandlot.dev/sandbox': 'one' });
});

t.test('templates and overrides', async (t) => {
  const template: SandboxTemplateSpec = {
    image: 'a:1',
    args: ['--x'],
    env: [
      { name: 'A', value: 'template' },
      { name: 'OH_SECRET_KEY', value: 'mine' },
    ],
    ports: [
      { name: 'agent', port: 60000 },
      { name: 'metrics', port: 9 },
    ],
    resources: { requests: { cpu: '250m', memory: '1Gi' }, limits: { cpu: 1.5, 'nvidia.com/gpu': 1 } },
    workspace: { kind: 'Claim', size: '1Gi', storageClassName: 'fast' },
    podLabels: { team: 'x', 'sandlot.dev/state': 'claimed' },
    podAnnotations: { note: 'y' },
    nodeSelector: { pool: 'big' },
    runAsUser: 5,
  };
  const spec: SandboxSpec = { env: [{ name: 'A', value: 'own' }], resourceFactor: 2, image: 'b:2', fsGroup: 7 };
  const pod = buildPod({ holder: sandbox, slot, epoch: 1, shape: shapeOf(template, spec), installation });
  const container = pod.spec.containers[0];
  t.equal(container?.image, 'b:2');
  t.same(container?.env?.[0], { name: 'A', value: 'own' });
  t.equal(container?.env?.filter(({ name }) => name === 'OH_SECRET_KEY').length, 1, "the operator's variables win");
  t.match(
    container?.env?.find(({ name }) => name === 'PORT'),
    { value: '60000' },
  );
  const elsewhere = { name: 'OH_WEBHOOKS_0_BASE_URL', value: 'https://other.example.org/api/v1/webhooks' };
  const reporting = buildPod({
    holder: sandbox,
    slot,
    epoch: 1,
    shape: shapeOf(template, { env: [elsewhere], workingDir: '/workspace', imagePullPolicy: 'Always' }),
    installation,
  }).spec.containers[0];
  t.same(
    reporting?.env?.filter(({ name }) => name === elsewhere.name),
    [elsewhere],
    'a sandbox may report to another app server',
  );
  t.match(reporting, { workingDir: '/workspace', imagePullPolicy: 'Always' });
  t.same(
    container?.ports?.map(({ name, containerPort }) => [name, containerPort]),
    [
      ['agent', 60000],
      ['vscode', 8001],
      ['worker-1', 8011],
      ['worker-2', 8012],
      ['metrics', 9],
    ],
  );
  t.same(container?.resources, {
    requests: { cpu: '500m', memory: '2Gi' },
    limits: { cpu: '3', 'nvidia.com/gpu': '1' },
  });
  t.match(pod.spec, { nodeSelector: { pool: 'big' }, securityContext: { runAsUser: 5, runAsGroup: 5, fsGroup: 7 } });
  t.match(pod.metadata, { labels: { team: 'x', 'sandlot.dev/state': 'claimed' }, annotations: { note: 'y' } });
  const warm = buildPod({ holder: pool, slot, epoch: 1, shape: shapeOf(template), installation });
  t.equal(warm.metadata.labels?.['sandlot.dev/state'], 'warm', "a template cannot claim the operator's labels");
  const ephemeral = buildPod({
    holder: sandbox,
    slot,
    epoch: 1,
    shape: shapeOf({ image: 'a', workspace: { kind: 'Ephemeral' } }),
    installation,
  });
  t.same(ephemeral.spec.volumes, [{ name: 'workspace', emptyDir: {} }]);
});

t.test('which sandboxes a warm pod can serve', async (t) => {
  const template: SandboxTemplateSpec = {
    image: 'a',
    workspace: { kind: 'Claim', size: '1Gi' },
    network: { egress: 'Internet' },
  };
  const rows: [SandboxSpec, string | undefined][] = [
    [{}, undefined],
    [{ owner: 'me', runState: 'Running', onDryPool: 'Wait', lifecycle: { idleTimeout: '5m' } }, undefined],
    [{ env: [], command: [] }, undefined],
    [{ resourceFactor: 1 }, undefined],
    [{ workspace: { kind: 'Claim', retention: 'Delete' } }, undefined],
    [{ workspace: { kind: 'Claim', retention: 'Retain' } }, 'own workspace'],
    [{ network: { egress: 'Internet' } }, undefined],
    [{ image: 'b' }, 'own image'],
    [{ command: ['x'] }, 'own command'],
    [{ env: [{ name: 'A', value: 'b' }] }, 'own env'],
    [{ resources: { requests: { cpu: 1 } } }, 'own resources'],
    [{ resourceFactor: 2 }, 'own resourceFactor'],
    [{ runtimeClassName: 'gvisor' }, undefined],
    [{ workingDir: '/workspace' }, 'own workingDir'],
    [{ imagePullPolicy: 'Always' }, 'own imagePullPolicy'],
    [{ runAsUser: 6 }, 'own runAsUser'],
    [{ ports: [{ name: 'web', port: 3 }] }, 'own ports'],
    [{ network: { egress: 'None' } }, 'own egress'],
    [{ workspace: { kind: 'Claim', size: '2Gi' } }, 'own workspace'],
    [{ workspace: { kind: 'Ephemeral' } }, 'own workspace'],
  ];
  for (const [spec, why] of rows) t.equal(whyCold(template, spec), why, JSON.stringify(spec));
  t.match(whyCold({ ...template, deferredInit: false }, {}), 'dormant');
  const retained = { ...template, workspace: { ...template.workspace, retention: 'Retain' as const } };
  for (const retention of ['Delete', 'Retain'] as const)
    t.equal(whyCold(retained, { workspace: { kind: 'Claim', retention } }), undefined, 'it need not be retained');
});

t.test('the template hash follows what shapes pods, and nothing else', async (t) => {
  const base: SandboxTemplateSpec = { image: 'a' };
  const hash = (template: SandboxTemplateSpec, more: Partial<Installation> = {}) =>
    templateHashOf(template, { ...installation, ...more }).whole;
  t.equal(hash(base), hash({ image: 'a' }));
  t.equal(hash(base), hash({ image: 'a', lifecycle: { idleTimeout: '1m' } }));
  const changes: SandboxTemplateSpec[] = [
    { image: 'b' },
    { image: 'a', env: [{ name: 'A', value: 'b' }] },
    { image: 'a', workspace: { size: '1Gi' } },
    { image: 'a', podLabels: { a: 'b' } },
  ];
  for (const changed of changes) t.not(hash(changed), hash(base), JSON.stringify(changed));
  t.not(hash(base, { uiOrigins: [] }), hash(base), 'the installation shapes pods too');
  t.equal(hash(base, { secret: 't'.repeat(32) }), hash(base), 'secrets are not in it');
  const fit = (template: SandboxTemplateSpec) => templateHashOf(template, installation).fit;
  t.same(
    changes.map((changed) => fit(changed) === fit(base)),
    [true, true, false, true],
    'only what a sandbox relies on after the claim has to fit',
  );
});

t.test('secrets: a sandbox’s keys of an epoch; the init keys of many warm pods by slot', async (t) => {
  const plain = ({ data }: Secret) =>
    Object.fromEntries(
      Object.entries(data ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]),
    );
  const { secret } = installation;
  t.same(plain(buildSecret({ holder: sandbox, slot, epoch: 4, secret })), {
    OH_SECRET_KEY: agentSecretKey(secret, slot),
    OH_SESSION_API_KEYS_0: sessionKey(secret, slot, 4),
  });
  const keys = buildInitKeys({ pool, name: 'keys', slots: [slot, 'sother'], secret });
  t.same(plain(keys), { [slot]: initKey(secret, slot), sother: initKey(secret, 'sother') });
  t.match(keys.metadata, {
    ownerReferences: [{ kind: 'SandboxPool', uid: 'p-1' }],
    labels: { 'sandlot.dev/state': 'warm' },
  });
  const restored = restoredInitKeys({ holder: sandbox, name: 'keys', slot, secret });
  t.same(plain(restored), { [slot]: initKey(secret, slot) });
  t.match(restored.metadata.ownerReferences, [{ kind: 'Sandbox', uid: 'u-1', controller: false }]);
  t.notHas(restored.metadata.labels, { 'sandlot.dev/state': 'warm' }, 'no pool sweeps it');
});

t.test('workspace claims: size, class, and who owns them', async (t) => {
  const workspace = { kind: 'Claim', size: '5Gi', storageClassName: 'fast', retention: 'Delete' } as const;
  t.match(buildWorkspaceClaim(sandbox, slot, workspace), {
    metadata: { name: `${slot}-workspace`, ownerReferences: [{ uid: 'u-1' }] },
    spec: { accessModes: ['ReadWriteOnce'], storageClassName: 'fast', resources: { requests: { storage: '5Gi' } } },
  });
  t.same(buildWorkspaceClaim(sandbox, slot, { ...workspace, retention: 'Retain' }).metadata.ownerReferences, []);
  t.equal(buildWorkspaceClaim(pool, slot, { ...workspace, retention: 'Retain' }).metadata.ownerReferences?.length, 1);
  const of = (own: typeof workspace | (Omit<typeof workspace, 'retention'> & { retention: 'Retain' })) => ({
    holder: pool,
    slot,
    epoch: 1,
    shape: { ...builtIn, workspace: own },
    installation,
    warm: { templateHash: { whole: 'h', fit: 'f' }, initKeys: 'k' },
  });
  t.match(buildPod(of(workspace)).spec.volumes, [
    {
      name: 'workspace',
      ephemeral: {
        volumeClaimTemplate: {
          metadata: { labels: { 'sandlot.dev/slot': slot } },
          spec: { storageClassName: 'fast', resources: { requests: { storage: '5Gi' } } },
        },
      },
    },
  ]);
  t.same(
    buildPod(of({ ...workspace, retention: 'Retain' })).spec.volumes,
    [{ name: 'workspace', persistentVolumeClaim: { claimName: `${slot}-workspace` } }],
    'what is to outlive everybody is made the plain way',
  );
});

t.test('a claimed workspace keeps the pod that mounts it, and outlives it by the sandbox', async (t) => {
  const workspace = { kind: 'Claim', size: '5Gi', retention: 'Delete' } as const;
  const plain = buildWorkspaceClaim(pool, slot, workspace);
  t.match(adoptedOwners(sandbox, workspace, plain), [{ kind: 'Sandbox', controller: true }]);
  t.same(adoptedOwners(sandbox, { ...workspace, retention: 'Retain' }, plain), []);
  const pod = { apiVersion: 'v1', kind: 'Pod', name: slot, uid: 'pod-1', controller: true };
  const ephemeral = { ...plain, metadata: { ...plain.metadata, ownerReferences: [pod] } };
  const owners = adoptedOwners(sandbox, workspace, ephemeral);
  t.same(owners[0], pod);
  t.match(owners[1], { kind: 'Sandbox', uid: 'u-1', controller: false }, 'only one owner may be the controller');
});

t.test('quantities, durations, labels, back-off', async (t) => {
  for (const [quantity, factor, product] of [
    ['500m', 2, '1000m'],
    ['1.5', 4, '6'],
    ['0.1', 8, '0.8'],
    [2, 2, '4'],
    ['512Mi', 8, '4096Mi'],
    ['1e3', 1, '1e3'],
  ] as const)
    t.equal(multiplyQuantity(quantity, factor), product);
  t.throws(() => multiplyQuantity('1e3', 2), RangeError);
  for (const [text, ms] of [
    ['90s', 90_000],
    ['20m', 1_200_000],
    ['12h', 43_200_000],
    ['30d', 2_592_000_000],
    ['0s', undefined],
    ['1w', undefined],
    [undefined, undefined],
  ] as const)
    t.equal(durationMs(text), ms);
  t.same([45_000, 1_200_000, 10_800_000, 172_800_000].map(describeMs), ['45 s', '20 min', '3 h', '2 d']);
  t.equal(timestamp(1_700_000_000_123), '2023-11-14T22:13:20Z');
  t.equal(labelValue(`${'a'.repeat(62)}.b`), 'a'.repeat(62), 'a label ends in a letter or digit');
  t.equal(childLabels({ ...sandbox, name: 'x'.repeat(80) }, slot)['sandlot.dev/sandbox']?.length, 63);
  t.same(
    [1, 2, 3, 4, 7, 30].map((failures) => crashDelayMs(CRASH_POLICY, failures)),
    [0, 10_000, 20_000, 40_000, 300_000, 300_000],
  );
});
