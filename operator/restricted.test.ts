/** Sandbox pods, warm ones too, are let in where the namespace enforces the `restricted` Pod Security Standard. */
import t from 'tap';
import { KubeError } from '../kube/errors.js';
import { NAMESPACE, POD } from '../kube/kinds.js';
import { endSuite, startCluster } from '../test/support/cluster.js';
import { startScene } from './testing/scene.js';

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

  await t.test('the end', async () => {
    await s.close();
    await endSuite(cluster);
  });
});
