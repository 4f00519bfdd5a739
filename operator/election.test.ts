/** The operator and its Lease, where the API answers for the one and not for the other. */
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { KubeError, type KubeClient } from '../kube/client.js';
import { LEASE } from '../kube/kinds.js';
import { leaseServer } from '../kube/testing/lease-server.js';
import { systemClock } from '../process/clock.js';
import { startOperator } from './operator.js';
import { until } from './testing/until.js';

const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

t.test('a leader that cannot fill its caches gives way, and may lead again', { timeout: 60_000 }, async (t) => {
  const server = leaseServer();
  const refuse = () => Promise.reject(new KubeError('no', { code: 403, reason: 'Forbidden' }));
  const operator = startOperator({
    client: { ...server.clientOf('a'), list: refuse, watch: refuse, now: Date.now } as unknown as KubeClient,
    installation: { secret: 'x'.repeat(32), sandboxImage: 'i', apiUrl: undefined, uiOrigins: [] },
    namespace: 'n',
    lease: { namespace: 'n', identity: 'a' },
    clock: systemClock,
    log: silent,
  });
  t.teardown(() => operator.stop());
  await until('it leads', () => operator.leads());
  const other = server.clientOf('b');
  const take = async (holderIdentity: string) =>
    other.replace(LEASE, { ...(await other.get(LEASE, { name: 'l', namespace: 'n' })), spec: { holderIdentity } });
  await take('b');
  await until('it has noticed', () => !operator.leads());
  await sleep(100);
  await take('');
  await until('it leads again', () => operator.leads());
  t.ok(operator.unready().length > 0);
});
