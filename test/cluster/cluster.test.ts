/**
 * The whole on a real cluster of two nodes: images, chart, pods. Run by test/cluster/run, which makes the cluster; the
 * parts build on each other. NetworkPolicies are stored there but not enforced: no part here says anything about them.
 */
import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Pod } from '../../kube/kinds.js';
import { newShard } from '../../operator/shard.js';
import { packageRoot } from '../../process/root.js';
import { ask, browse, converse, finished, follow, history } from '../support/client.js';
import { until, type Stack } from '../support/stack.js';
import { judge, linesOf, RARELY, readDeeds, type Rule } from './rights.js';
import * as c from './tools.js';

const { kubectl, helm } = c;
const chart = join(packageRoot(), 'helm/sandlot');
const values = join(tmpdir(), `sandlot-cluster-${process.pid}.yaml`);
const skip = process.env.SANDLOT_TEST_CLUSTER === undefined && 'needs a real cluster: test/cluster/run';
const VALUES = {
  gateway: { domain: c.DOMAIN },
  protocol: 'http',
  ingress: { enabled: false },
  identity: { mode: 'single-user', acknowledge: 'whoever may forward ports is the one user' },
  defaultTemplate: { resources: { requests: { cpu: '100m', memory: '256Mi' }, limits: { memory: '2Gi' } } },
};
const parts = { skip, timeout: 300_000 };
const uidOf = (pod: Pod) => pod.metadata.uid;

t.test('the chart installs, and its own test passes', parts, async (t) => {
  await kubectl('create', 'namespace', c.NAMESPACE);
  // The cluster itself refuses every pod that is not restricted.
  await kubectl('label', 'namespace', c.NAMESPACE, 'pod-security.kubernetes.io/enforce=restricted');
  await writeFile(values, JSON.stringify(VALUES));
  t.match(await helm('install', c.RELEASE, chart, '-f', values, '--wait', '--timeout', '4m'), /STATUS: deployed/);
  t.match(await helm('test', c.RELEASE, '--timeout', '4m'), /Phase:\s+Succeeded/);
  for (const [program, verb, what] of [
    ['gateway', 'list', 'secrets'],
    ['gateway', 'create', 'pods'],
    ['apiserver', 'get', 'secrets'],
    ['apiserver', 'create', 'pods'],
    ['operator', 'list', 'secrets --namespace=kube-system'],
    ['operator', 'create', 'sandboxes.sandlot.dev'],
  ] as const) {
    const as = `--as=system:serviceaccount:${c.NAMESPACE}:${c.RELEASE}-${program}`;
    const said = await kubectl('auth', 'can-i', verb, ...what.split(' '), as).catch((error: unknown) => String(error));
    t.match(said, /\bno\b/, `the ${program} may not ${verb} ${what}`);
  }
  const wide = await kubectl(
    'get',
    'clusterroles,clusterrolebindings',
    '-l',
    `app.kubernetes.io/instance=${c.RELEASE}`,
  );
  t.equal(wide, '', 'it needs Roles of its namespace only');
  await kubectl('wait', '--for=condition=Ready', 'sandboxtemplate/default', '--timeout=30s');
});

t.test('a Sandbox of kubectl takes a warm pod and answers', parts, async (t) => {
  await c.poolFull();
  const { status } = await c.newSandbox('mine', { owner: 'alice' });
  const slot = status?.slot ?? '';
  t.equal(status?.pool, 'default', 'claimed from the pool');
  const service = await kubectl('get', 'pod', slot, '-o', 'jsonpath={.spec.subdomain}');
  const inside = `fetch('http://${slot}.${service}.${c.NAMESPACE}.svc:8000/alive').then((a) => console.log(a.status))`;
  const by = await kubectl('exec', `deployment/${c.RELEASE}-gateway`, '--', 'node', '-e', inside);
  t.equal(by.trim(), '200', 'by the name that the shared Service gives it');
  t.equal((await c.viaGateway(slot, '/api/conversations/count')).status, 401, 'the gateway asks for a key');
  t.equal((await c.shell('mine', 'echo $((6 * 7))')).trim(), '42', 'and with the key runs what an agent runs');
  t.match(
    await c.shell('mine', 'id -u; echo $HOME; touch ~/x && echo home; touch /usr/x 2>&1; cat /proc/1/comm'),
    /10001\n\/workspace\/.home\nhome\n.*denied\ntini/,
  );
  const tools = await c.shell(
    'mine',
    'for tool in git python3 pip rg node npm jq curl make; do command -v $tool >/dev/null || echo no $tool; done',
  );
  t.equal(tools, '', 'the tools are there');
  t.match(await kubectl('get', 'sandbox', 'mine'), /mine +Running/);
  const described = await kubectl('describe', 'sandbox', 'mine');
  for (const word of ['Phase: *Running', 'Type: *AgentReady', 'Type: *WorkspaceReady', `Slot: *${slot}`])
    t.match(described, new RegExp(word));
});

t.test('the sandbox image lives with a read-only root, and ends on SIGTERM', parts, async (t) => {
  const mounts = ['/workspace', '/tmp'].map((mountPath, index) => ({ name: `v${index}`, mountPath }));
  const spec = {
    restartPolicy: 'Never',
    automountServiceAccountToken: false,
    securityContext: { runAsNonRoot: true, fsGroup: 10001, seccompProfile: { type: 'RuntimeDefault' } },
    volumes: mounts.map(({ name }) => ({ name, emptyDir: {} })),
    containers: [
      {
        name: 'agent',
        image: (await c.podOf('mine')).spec.containers[0]?.image,
        env: [{ name: 'SESSION_API_KEY', value: 'a key for this pod alone' }],
        readinessProbe: { httpGet: { path: '/ready', port: 8000 }, periodSeconds: 1 },
        volumeMounts: mounts,
        securityContext: {
          readOnlyRootFilesystem: true,
          allowPrivilegeEscalation: false,
          capabilities: { drop: ['ALL'] },
        },
      },
    ],
  };
  await c.apply(JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'read-only' }, spec }));
  await kubectl('wait', '--for=condition=Ready', 'pod/read-only', '--timeout=60s');
  await kubectl('exec', 'read-only', '--', 'sh', '-c', 'touch ~/own && code-server --version && kill -TERM 1');
  await kubectl('wait', '--for=jsonpath={.status.phase}=Succeeded', 'pod/read-only', '--timeout=30s');
  t.match(await kubectl('logs', 'read-only'), /"stopping"/, 'it says so, and ends with 0');
  await kubectl('delete', 'pod', 'read-only');
});

t.test('pause and resume keep the workspace and change the key', parts, async (t) => {
  const slot = (await c.sandbox('mine')).status?.slot ?? '';
  await c.shell('mine', 'mkdir -p project && echo kept > project/file');
  const before = await c.keyOf('mine');
  await kubectl('patch', 'sandbox', 'mine', '--type=merge', '-p', '{"spec":{"runState":"Paused"}}');
  await kubectl('wait', '--for=condition=Paused', 'sandbox/mine', '--timeout=90s');
  await until(
    'the end of the pod',
    async () => (await kubectl('get', 'pods', '-l', 'sandlot.dev/sandbox=mine', '-o', 'name')) === '',
    60_000,
  );
  t.equal((await c.viaGateway(slot, '/alive')).status, 503, 'the gateway says that it is not there now');
  await kubectl('patch', 'sandbox', 'mine', '--type=merge', '-p', '{"spec":{"runState":"Running"}}');
  await c.ready('mine');
  t.equal((await c.sandbox('mine')).status?.slot, slot, 'the address stays');
  t.equal((await c.shell('mine', 'cat project/file')).trim(), 'kept');
  t.not(await c.keyOf('mine'), before, 'a new key');
  const old = await c.viaGateway(slot, '/api/conversations/count', { headers: { 'x-session-api-key': before } });
  t.equal(old.status, 401, 'the old one is dead');
});

t.test('why a sandbox is not ready', parts, async (t) => {
  await c.apply(c.sandboxYaml('nowhere', { image: 'registry.invalid/none:1' }));
  await c.apply(c.sandboxYaml('giant', { resources: { requests: { cpu: '500' } } }));
  const said = (name: string, words: RegExp) =>
    until(`${name} says why`, async () => words.test(await kubectl('describe', 'sandbox', name)), 60_000);
  t.ok(await said('nowhere', /Reason: *ImagePullFailed/));
  t.ok(await said('giant', /Reason: *Unschedulable/));
  t.match(await kubectl('describe', 'sandbox', 'giant'), /Insufficient cpu/, 'with what the scheduler says');
  await kubectl('delete', 'sandbox', 'nowhere', 'giant');
});

t.test('a conversation through the API server', parts, async (t) => {
  const stops = [
    await c.forward(`statefulset/${c.RELEASE}-apiserver`, 3000),
    await c.forward(`service/${c.RELEASE}-gateway`, 3001),
  ];
  t.teardown(() => stops.forEach((stop) => stop()));
  const stack = { api: 'http://localhost:3000' } as Stack;
  const conversation = await converse(
    stack,
    'echo made by the agent > index.html\nhostname; (python3 -m http.server $WORKER_1 &) >/dev/null 2>&1',
  );
  const following = await follow(conversation);
  const slot = (await c.sandbox(conversation.sandbox_id)).status?.slot ?? '';
  const output = await following.first('the output', ({ observation }) =>
    JSON.stringify(observation ?? {}).includes(slot),
  );
  t.equal(output.observation?.exit_code, 0, 'the agent ran in its pod');
  await finished(stack, conversation.id);
  // The gateway shows a waiting page until the app listens.
  const page = await until('its app in a browser', async () => {
    const seen = await browse(stack, conversation.sandbox_id, 'worker-1', '/index.html');
    return seen.status === 200 ? seen : undefined;
  });
  t.equal(page.text, 'made by the agent\n');
  await until('the history', async () =>
    (await history(stack, conversation.id)).some((event) => JSON.stringify(event).includes(slot)),
  );
  following.close();
  await kubectl('delete', 'pod', `${c.RELEASE}-apiserver-0`);
  stops.shift()?.();
  await kubectl('wait', '--for=condition=Ready', `pod/${c.RELEASE}-apiserver-0`, '--timeout=90s');
  stops.push(await c.forward(`statefulset/${c.RELEASE}-apiserver`, 3000));
  t.ok((await history(stack, conversation.id)).length > 0, 'the embedded database outlives its pod');
  const own = `${stack.api}/api/v1/sandboxes/${conversation.sandbox_id}`;
  t.equal((await ask(`${own}/pause`, { method: 'POST', body: {} })).status, 200);
  const deleted = await ask(`${own}?sandbox_id=${conversation.sandbox_id}`, { method: 'DELETE' });
  t.equal(deleted.status, 200, deleted.text);
  await kubectl('wait', '--for=delete', `sandbox/${conversation.sandbox_id}`, '--timeout=60s');
});

t.test('the operator is killed, restarted and upgraded under a live sandbox', parts, async (t) => {
  const pod = uidOf(await c.podOf('mine'));
  const lease = () => kubectl('get', 'lease', 'sandlot-operator', '-o', 'jsonpath={.spec.holderIdentity}');
  const leader = await lease();
  await kubectl('delete', 'pod', leader.split('_')[0] ?? '', '--grace-period=0', '--force');
  await until('another leader', async () => ![leader, ''].includes(await lease()), 60_000);
  await c.newSandbox('after-kill', { onDryPool: 'Cold' });
  await kubectl('rollout', 'restart', `deployment/${c.RELEASE}-operator`);
  await kubectl('rollout', 'status', `deployment/${c.RELEASE}-operator`, '--timeout=120s');
  const upgraded = await helm(
    'upgrade',
    c.RELEASE,
    chart,
    '-f',
    values,
    '--set',
    'operator.logLevel=debug',
    '--wait',
    '--timeout',
    '4m',
  );
  t.match(upgraded, /REVISION: 2/);
  await c.newSandbox('after-upgrade', { onDryPool: 'Cold' });
  t.equal(uidOf(await c.podOf('mine')), pod, 'the pod was not touched');
  t.match(await c.shell('mine', 'cat project/file'), 'kept', 'the secret, so the keys, stayed');
  await kubectl('delete', 'sandbox', 'after-kill', 'after-upgrade');
});

t.test('two operators share the sandboxes, then one has them all again', parts, async (t) => {
  const pod = uidOf(await c.podOf('mine'));
  const upgrade = (...more: string[]) =>
    helm('upgrade', c.RELEASE, chart, '-f', values, ...more, '--wait', '--timeout', '4m');
  await upgrade('--set', 'operator.shards=2,prePull.enabled=true,defaultTemplate.warmMaximum=4');
  const owner = ['alice', 'bob', 'carol', 'dave', 'erin'].find(
    (one) => newShard({ metadata: { name: 'x' }, spec: { owner: one } }, { index: 0, count: 2 }) === '1',
  );
  const second = await c.newSandbox('second', { owner: owner ?? '' });
  t.equal(second.metadata.labels?.['sandlot.dev/shard'], '1', 'its owner is with the second operator');
  await c.newSandbox('first');
  t.match(
    await kubectl('get', 'sandboxpool', 'default-1', '-o', 'jsonpath={.metadata.labels}'),
    /"sandlot.dev\/shard":"1"/,
  );
  await upgrade();
  await kubectl('patch', 'sandbox', 'second', '--type=merge', '-p', '{"spec":{"runState":"Paused"}}');
  await kubectl('wait', '--for=condition=Paused', 'sandbox/second', '--timeout=90s');
  await kubectl('patch', 'sandbox', 'second', '--type=merge', '-p', '{"spec":{"runState":"Running"}}');
  t.equal((await c.ready('second')).status?.slot, second.status?.slot, 'the one operator looks after it');
  t.equal(uidOf(await c.podOf('mine')), pod, 'and no pod was touched');
  await kubectl('delete', 'sandbox', 'first', 'second');
});

/** A sandbox on the second node that may live on either: its files are the pod's own. */
async function movable(name: string): Promise<string> {
  await kubectl('cordon', 'node1');
  const { status } = await c.newSandbox(name, { workspace: { kind: 'Ephemeral' } });
  await kubectl('uncordon', 'node1');
  if (status?.nodeName !== 'node2') throw new Error(`${name} is on ${status?.nodeName}`);
  return uidOf(await c.podOf(name)) ?? '';
}

const moved = (name: string, ms: number) =>
  until(`${name} on node1`, async () => {
    const { status } = await c.sandbox(name);
    return status?.nodeName === 'node1' && status.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True');
  }, ms); // prettier-ignore

t.test('a drained node', parts, async (t) => {
  const pod = await movable('drained');
  const drain = () => kubectl('drain', 'node2', '--ignore-daemonsets', '--delete-emptydir-data', '--timeout=60s');
  // Again while the volume provisioner's helpers are there: a drain refuses pods without a controller. Ours have one.
  await until('the drain', drain, 120_000);
  await moved('drained', 90_000);
  t.not(uidOf(await c.podOf('drained')), pod);
  await kubectl('uncordon', 'node2');
  await kubectl('delete', 'sandbox', 'drained');
});

t.test('a lost node', { ...parts, timeout: 600_000 }, async (t) => {
  const pod = await movable('lost');
  const seen = new Set<string>();
  await c.node('stop-node', 'node2');
  await until('word of the loss', async () => {
    const { status } = await c.sandbox('lost');
    for (const condition of status?.conditions ?? []) seen.add(condition.reason);
    return seen.has('NodeLost');
  }, 120_000); // prettier-ignore
  await moved('lost', 360_000);
  t.not(uidOf(await c.podOf('lost')), pod, 'a new pod');
  t.equal((await c.sandbox('lost')).status?.restartCount, 1);
  t.match(await kubectl('describe', 'sandbox', 'lost'), /NodeLost/, 'and describe says why');
  await c.node('start-node', 'node2');
  await kubectl('wait', '--for=condition=Ready', 'node/node2', '--timeout=90s');
  await until('the end of what was left on it', async () => {
    const { items } = await c.get<{ items: Pod[] }>('pods', '-l', 'sandlot.dev/sandbox=lost');
    return items.length === 1;
  }, 90_000); // prettier-ignore
});

t.test('no program was refused anything, and none has a right that it does not use', parts, async (t) => {
  const deeds = await readDeeds(linesOf(process.env.SANDLOT_TEST_AUDIT ?? ''), c.NAMESPACE);
  for (const program of ['operator', 'gateway', 'apiserver']) {
    const role = `${c.RELEASE}-${program}`;
    const { rules } = await c.get<{ rules: Rule[] }>('role', role);
    const verdict = judge(rules, deeds.get(role), RARELY[program] ?? {});
    t.same(verdict, { refused: [], idle: [], stale: [] }, program);
  }
});

t.test('uninstalled', parts, async (t) => {
  await kubectl('delete', 'sandbox', '--all');
  await helm('uninstall', c.RELEASE, '--wait', '--timeout', '3m');
  const left = async () => {
    const kinds =
      'pods,services,secrets,persistentvolumeclaims,statefulsets,deployments,daemonsets,ingresses,networkpolicies,poddisruptionbudgets,serviceaccounts,roles,rolebindings,configmaps,leases,sandboxes,sandboxpools,sandboxtemplates';
    const names = (await kubectl('get', kinds, '-o', 'name')).trim().split('\n');
    const expected = /^(serviceaccount\/default|configmap\/kube-root-ca.crt|service\/sandlot-sandboxes-\d+)$/;
    return names.filter((name) => !expected.test(name)).sort();
  };
  const kept = [
    'lease.coordination.k8s.io/sandlot-operator',
    'lease.coordination.k8s.io/sandlot-operator-1',
    `persistentvolumeclaim/data-${c.RELEASE}-apiserver-0`,
    `secret/${c.RELEASE}-secret`,
  ];
  await until('nothing but what is documented', async () => {
    const names = await left();
    if (names.join() !== kept.join()) throw new Error(names.join());
    return true;
  }, 90_000); // prettier-ignore
  t.same(await left(), kept);
});

t.test('the end', { skip }, async () => {
  await rm(values, { force: true });
  await kubectl('delete', 'namespace', c.NAMESPACE, '--timeout=90s');
});
