/** Sandbox pods, warm ones too, are let in where the namespace enforces the `restricted` Pod Security Standard. */
import t from 'tap';
import { SANDBOX_TEMPLATE, type SandboxTemplate } from '../contracts/resources.js';
import { KubeError } from '../kube/errors.js';
import { NAMESPACE, POD } from '../kube/kinds.js';
import { endSuite, startCluster } from '../test/support/cluster.js';
import { startScene } from './testing/scene.js';
import { until } from './testing/until.js';

t.setTimeout(120_000);

await t.test('pods under the restricted standard', { timeout: 100_000 }, async (t) => {
  const cluster = await startCluster();
  const { client } = cluster;
  const s = await startScene(cluster);
  const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' };
  await client.patch(NAMESPACE, { name: s.namespace }, { metadata: { labels } }, { type: 'merge' });
  const plain = {
    metadata: { name: 'plain', namespace: s.namespace },
    spec: { containers: [{ name: 'c', image: 'x' }] },
  };
  const enforced = await client.create(POD, plain, { dryRun: true }).then(
    () => false,
    (error: unknown) => error instanceof KubeError && error.code === 403 && error.message.includes('PodSecurity'),
  );
  if (!enforced) t.comment('this API server enforces no Pod Security Standards: the pods below show nothing');
  await s.pool(1, {
    workspace: { kind: 'Claim', size: '1Gi' },
    env: [{ name: 'A', value: 'b' }],
    podLabels: { team: 'a' },
    runAsUser: 4_000,
  });
  await s.warmReady(1);
  await s.sandbox('cold', { workspace: { kind: 'Ephemeral' } });
  await s.ready('cold');
  await s.sandbox('warm', { template: 'standard' });
  await s.ready('warm');
  for (const { spec } of await s.pods()) {
    t.match(spec, { automountServiceAccountToken: false, enableServiceLinks: false });
    t.same(
      spec.volumes?.map(({ name }) => name),
      ['workspace'],
      'no token, nothing of the node',
    );
  }
  t.equal(enforced || process.env.SANDLOT_TEST_KUBECONFIG === undefined, true, 'a real API server enforces them');

  await t.test('a template says whether its pods are taken, before anybody makes a sandbox of it', async (t) => {
    const verdict = async (name: string, spec: Partial<SandboxTemplate['spec']>) => {
      const metadata = { name, namespace: s.namespace };
      await client.create<SandboxTemplate>(SANDBOX_TEMPLATE, { metadata, spec: { image: 'x', ...spec } });
      return await until('its status', async () => {
        const { status } = await client.get<SandboxTemplate>(SANDBOX_TEMPLATE, metadata);
        return status?.conditions?.find(({ type }) => type === 'Ready');
      });
    };
    t.match(await verdict('good', {}), { status: 'True', reason: 'Accepted' });
    if (!enforced) return t.comment('the rest is for a real API server');
    const resources = { requests: { memory: '2Gi' }, limits: { memory: '1Gi' } };
    t.match(await verdict('resources', { resources }), { status: 'False', reason: 'Invalid', message: /memory limit/ });
    const tolerations = [{ key: 7 }];
    t.match(await verdict('tolerations', { tolerations }), {
      status: 'False',
      reason: 'Invalid',
      message: /toleration/i,
    });
    t.match(await verdict('class', { runtimeClassName: 'none-such' }), { status: 'False', message: /none-such/ });
    const podAnnotations = { 'container.apparmor.security.beta.kubernetes.io/agent': 'unconfined' };
    t.match(await verdict('security', { podAnnotations }), {
      status: 'False',
      reason: 'Forbidden',
      message: /PodSecurity/,
    });
    const workspace = { kind: 'Claim' as const, size: 'much' };
    t.match(await verdict('workspace', { workspace }), { status: 'False', reason: 'Invalid', message: /quantit/i });
  });

  await t.test('the end', async () => {
    await s.close();
    await endSuite(cluster);
  });
});
