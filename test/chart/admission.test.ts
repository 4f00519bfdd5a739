/**
 * The chart's admission policies on a real API server, rule by rule: what they refuse, and that everybody's own work passes.
 * Needs HELM and KUBECTL (paths) and SANDLOT_TEST_KUBECONFIG of an administrator; skipped without.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import t from 'tap';
import { packageRoot } from '../../process/root.js';
import { endSuite, startCluster } from '../support/cluster.js';
import { until } from '../support/stack.js';

const run = promisify(execFile);
const { HELM = '', KUBECTL = '', SANDLOT_TEST_KUBECONFIG = '' } = process.env;
const missing = Object.entries({ HELM, KUBECTL, SANDLOT_TEST_KUBECONFIG }).flatMap(([name, value]) =>
  value === '' ? [name] : [],
);
const skip = missing.length > 0 ? `needs ${missing.join(', ')}` : false;

const RELEASE = 'adm';
const FULL = ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete'];
/** A developer who may do more than they should: all of sandlot.dev and of pods. */
const DEVELOPER = [
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'Role',
    metadata: { name: 'developer' },
    rules: [
      { apiGroups: ['sandlot.dev'], resources: ['*'], verbs: FULL },
      { apiGroups: [''], resources: ['pods', 'secrets'], verbs: FULL },
    ],
  },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: { name: 'developer' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'developer' },
    subjects: [{ kind: 'User', name: 'dev' }],
  },
];
/** kubectl reads before it patches; the programs do not, and have no right to. */
const READS = [
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'Role',
    metadata: { name: 'reads' },
    rules: [{ apiGroups: ['', 'sandlot.dev'], resources: ['*'], verbs: ['get'] }],
  },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: { name: 'reads' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'reads' },
    subjects: ['operator', 'gateway'].map((program) => ({ kind: 'ServiceAccount', name: `${RELEASE}-${program}` })),
  },
];

await t.test('admission by the chart', { skip, timeout: 200_000 }, async (t) => {
  const cluster = await startCluster();
  const namespace = `adm-${randomBytes(3).toString('hex')}`;
  const kubectl = async (args: string[], stdin?: object | string): Promise<string> => {
    const child = run(KUBECTL, ['--kubeconfig', SANDLOT_TEST_KUBECONFIG, '-n', namespace, ...args]);
    child.child.stdin?.end(stdin === undefined ? '' : typeof stdin === 'string' ? stdin : JSON.stringify(stdin));
    return (await child).stdout;
  };
  const list = (items: object[]) => ({ apiVersion: 'v1', kind: 'List', items });
  await kubectl(['create', 'namespace', namespace]);
  const { stdout: rendered } = await run(
    HELM,
    [
      ['template', RELEASE, `${packageRoot()}/helm/sandlot`, '--namespace', namespace],
      ['--set', 'apiServer.enabled=false'],
      [
        '--set',
        'gateway.domain=sandbox.example.com',
        '--set',
        'admission.allowedImages={sandlot/sandbox,r.example.com/a/}',
      ],
    ].flat(),
  );
  await kubectl(['apply', '-f', '-'], rendered);
  await kubectl(['apply', '-f', '-'], list([...DEVELOPER, ...READS]));
  t.after(async () => {
    await kubectl(['delete', '--wait=false', '-f', '-'], rendered);
    await kubectl(['delete', '--wait=false', 'namespace', namespace]);
  });

  const service = (program: string) => `system:serviceaccount:${namespace}:${RELEASE}-${program}`;
  const [operator, gateway, dev] = [service('operator'), service('gateway'), 'dev'];
  const sandbox = (spec: object, name = 'sbx', kind = 'Sandbox') => ({
    apiVersion: 'sandlot.dev/v1alpha1',
    kind,
    metadata: { name },
    spec,
  });
  const pod = (labels: object, name = 'pod') => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels, annotations: { 'sandlot.dev/key-epoch': '1' } },
    spec: { containers: [{ name: 'agent', image: 'x' }] },
  });
  const ours = {
    'app.kubernetes.io/name': 'sandlot-sandbox',
    'sandlot.dev/slot': 'saaaaaaaaaaaaa',
    'sandlot.dev/egress': 'None',
  };
  const create = (object: object) => ({ args: ['create', '--dry-run=server', '-f', '-'], stdin: object });
  const patch = (target: string, body: object, ...more: string[]) => ({
    args: ['patch', '--dry-run=server', ...target.split(' '), '--type=merge', '-p', JSON.stringify(body), ...more],
    stdin: undefined,
  });
  const env = (valueFrom: object) => ({
    env: [
      { name: 'PLAIN', value: 'x' },
      { name: 'X', valueFrom },
    ],
  });
  const keyRef = (name: string) => env({ secretKeyRef: { name, key: 'secret' } });

  /** undefined: it passes. Only an answer of a policy counts as its refusal. */
  const refusal = async (as: string, { args, stdin }: ReturnType<typeof create>): Promise<string | undefined> => {
    try {
      await kubectl(['--as', as, ...args], stdin);
      return undefined;
    } catch (error) {
      const text = (error as { stderr?: string }).stderr ?? String(error);
      const found = /ValidatingAdmissionPolicy '[^']*' with binding '[^']*' denied request: ([^\n]*)/.exec(text);
      if (found === null) throw error;
      return found[1];
    }
  };
  await kubectl(['create', '-f', '-'], list([sandbox({ image: 'sandlot/sandbox:1', owner: 'u', env: [] })]));
  await kubectl(['--as', operator, 'create', '-f', '-'], pod(ours));
  await until('the policies to be in force', async () => (await refusal(dev, create(pod(ours, 'p2')))) !== undefined);

  const rows: [string, string, ReturnType<typeof create> | ReturnType<typeof patch>, RegExp | undefined][] = [
    ['the operator makes sandbox pods', operator, create(pod(ours, 'p2')), undefined],
    ['nobody else does', dev, create(pod(ours, 'p2')), /only the operator makes pods/],
    ['other pods are free', dev, create(pod({ app: 'x' }, 'p2')), undefined],
    [
      'no pod becomes one by a label',
      dev,
      patch('pod pod', { metadata: { labels: { 'sandlot.dev/slot': 'sbbbbbbbbbbbbb' } } }),
      /only the operator changes these labels/,
    ],
    [
      'no wider egress by a label',
      dev,
      patch('pod pod', { metadata: { labels: { 'sandlot.dev/egress': 'Internet' } } }),
      /only the operator changes these labels/,
    ],
    [
      'no escape from the policies',
      dev,
      patch('pod pod', { metadata: { labels: { 'app.kubernetes.io/name': null } } }),
      /only the operator changes these labels/,
    ],
    [
      'no other key',
      dev,
      patch('pod pod', { metadata: { annotations: { 'sandlot.dev/key-epoch': '9' } } }),
      /only the operator changes these annotations/,
    ],
    ['own labels are free', dev, patch('pod pod', { metadata: { labels: { team: 'a' } } }), undefined],
    [
      'the operator claims',
      operator,
      patch('pod pod', {
        metadata: { labels: { 'sandlot.dev/state': 'claimed' }, annotations: { 'sandlot.dev/key-epoch': '2' } },
      }),
      undefined,
    ],
    [
      'the operator writes status',
      operator,
      patch('sandbox sbx', { status: { slot: 'saaaaaaaaaaaaa' } }, '--subresource=status'),
      undefined,
    ],
    [
      'nobody else does',
      dev,
      patch('sandbox sbx', { status: { slot: 'saaaaaaaaaaaaa' } }, '--subresource=status'),
      /only the operator writes the status/,
    ],
    [
      'the operator hands a sandbox over to another shard',
      operator,
      patch('sandbox sbx', { metadata: { labels: { 'sandlot.dev/shard': '1' } } }),
      undefined,
    ],
    [
      'nobody else moves it',
      dev,
      patch('sandbox sbx', { metadata: { labels: { 'sandlot.dev/shard': '1' } } }),
      /only the operator changes the label sandlot.dev\/shard/,
    ],
    [
      'the gateway wakes',
      gateway,
      patch('sandbox sbx', {
        spec: { runState: 'Running' },
        metadata: { annotations: { 'sandlot.dev/last-traffic': '2026-01-01T00:00:00Z' } },
      }),
      undefined,
    ],
    [
      'it does not pause',
      gateway,
      patch('sandbox sbx', { spec: { runState: 'Paused' } }),
      /may wake a sandbox, not pause it/,
    ],
    [
      'nor change the owner of one that has none',
      gateway,
      patch('sandbox free', { spec: { owner: 'me' } }),
      /nothing of a spec but runState/,
    ],
    [
      'nor open a port',
      gateway,
      patch('sandbox sbx', { spec: { ports: [{ name: 'x', port: 1, visibility: 'Public' }] } }),
      /nothing of a spec but runState/,
    ],
    [
      'nor take something away',
      gateway,
      patch('sandbox sbx', { spec: { image: null } }),
      /nothing of a spec but runState/,
    ],
    [
      'nor label',
      gateway,
      patch('sandbox sbx', { metadata: { labels: { 'sandlot.dev/owner': 'x' } } }),
      /nothing of the metadata but annotations/,
    ],
    ['others pause', dev, patch('sandbox sbx', { spec: { runState: 'Paused' } }), undefined],
    ['an allowed image', dev, create(sandbox({ image: 'sandlot/sandbox:2' }, 's2')), undefined],
    ['by digest', dev, create(sandbox({ image: `sandlot/sandbox@sha256:${'a'.repeat(64)}` }, 's2')), undefined],
    ['below a prefix', dev, create(sandbox({ image: 'r.example.com/a/b/c:1' }, 's2')), undefined],
    ['no image of its own', dev, create(sandbox({}, 's2')), undefined],
    ['another image', dev, create(sandbox({ image: 'evil/x' }, 's2')), /image must be one of, or below/],
    [
      'one that only begins like it',
      dev,
      create(sandbox({ image: 'sandlot/sandbox-evil' }, 's2')),
      /image must be one of, or below/,
    ],
    [
      'another image in a template',
      dev,
      create(sandbox({ image: 'evil/x' }, 't2', 'SandboxTemplate')),
      /image must be one of, or below/,
    ],
    ['an image that was there before', dev, patch('sandbox old', { spec: { runState: 'Paused' } }), undefined],
    [
      'is not exchanged for another',
      dev,
      patch('sandbox old', { spec: { image: 'evil/y' } }),
      /image must be one of, or below/,
    ],
    [
      "not the installation's secret",
      dev,
      create(sandbox(keyRef(`${RELEASE}-secret`), 's2')),
      /must not name the installation's secret/,
    ],
    [
      'not the keys of a sandbox',
      dev,
      create(sandbox(keyRef('saaaaaaaaaaaaa-keys'), 's2')),
      /or the keys of a sandbox/,
    ],
    [
      'not the init keys of a pool',
      dev,
      create(sandbox(keyRef('warm-init-0123456789ab'), 's2')),
      /or the keys of a sandbox or pool/,
    ],
    [
      'not by envFrom either',
      dev,
      create(sandbox({ envFrom: [{ secretRef: { name: 'saaaaaaaaaaaaa-keys' } }] }, 's2')),
      /or the keys of a sandbox/,
    ],
    [
      'nor in a template',
      dev,
      create(sandbox({ image: 'sandlot/sandbox', ...keyRef('saaaaaaaaaaaaa-keys') }, 't2', 'SandboxTemplate')),
      /or the keys of a sandbox/,
    ],
    [
      'an own secret',
      dev,
      create(
        sandbox(
          { ...keyRef('mine'), envFrom: [{ secretRef: { name: 'mine' } }, { configMapRef: { name: 'c' } }] },
          's2',
        ),
      ),
      undefined,
    ],
    ['another source', dev, create(sandbox(env({ fieldRef: { fieldPath: 'metadata.name' } }), 's2')), undefined],
  ];
  await kubectl(['create', '-f', '-'], list([sandbox({}, 'free')]));
  await makeOld();
  for (const [name, as, what, expected] of rows) {
    const answer = await refusal(as, what as ReturnType<typeof create>);
    if (expected === undefined) t.equal(answer, undefined, `${as.split(':').at(-1)}: ${name}`);
    else t.match(answer ?? 'passed', expected, `${as.split(':').at(-1)}: ${name}`);
  }

  /** A sandbox from before its image was forbidden: made while the policy's binding is away. */
  async function makeOld(): Promise<void> {
    const binding = `${namespace}-${RELEASE}-sandboxes`;
    await kubectl(['delete', 'validatingadmissionpolicybinding', binding]);
    await until('the policy to be off', () => kubectl(['create', '-f', '-'], sandbox({ image: 'evil/x' }, 'old')));
    await kubectl(['apply', '-f', '-'], rendered);
    await until(
      'the policy to be on',
      async () => (await refusal(dev, create(sandbox({ image: 'evil/x' }, 's3')))) !== undefined,
    );
  }

  await t.test('the end', () => endSuite(cluster));
});
