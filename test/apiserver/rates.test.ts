/** Rates: whose requests are counted, which never are, and one count for several servers in a real Redis. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import t from 'tap';
import { issueKey } from '../../apiserver/identity/keys.js';
import type { RateSettings } from '../../apiserver/rates/settings.js';
import { loginBy, openTestDatabase, startRig } from '../support/api-rig.js';
import { endSuite, startCluster } from '../support/cluster.js';
import { freePorts, until } from '../support/stack.js';

const cluster = await startCluster();
const db = await openTestDatabase();
const NONE: RateSettings = { perUser: 0, perRuntimeUser: 0, perAddress: 0, trustedProxies: [], redisUrl: undefined };
const start = (rates: Partial<RateSettings>) =>
  startRig(cluster, db, {
    config: {
      rates: { ...NONE, ...rates },
      // Nobody logs in here, so the provider is never asked.
      identity: loginBy(),
    },
  });
type Rig = Awaited<ReturnType<typeof start>>;

async function keyOf(user: string): Promise<Record<string, string>> {
  await db.prisma.user.createMany({ data: [{ id: user }], skipDuplicates: true });
  const made = await issueKey(db.prisma, {
    ownerId: user,
    name: null,
    notBefore: null,
    expiresAt: null,
    scopes: ['full'],
  });
  return { 'x-api-key': made?.key ?? '' };
}

const statuses = async (times: number, ask: () => Promise<{ status: number }>): Promise<number[]> => {
  const all: number[] = [];
  for (let at = 0; at < times; at += 1) all.push((await ask()).status);
  return all;
};
const settings = (rig: Rig, key: Record<string, string>) => () =>
  rig.call('GET', '/api/v1/sandboxes/search', undefined, key);

t.test('a user is counted whatever their key and address, and nobody else with them', async (t) => {
  const rig = await start({ perUser: 3, perRuntimeUser: 5 });
  const [first, second, other] = [await keyOf('alice'), await keyOf('alice'), await keyOf('bob')];
  t.same(await statuses(2, settings(rig, first)), [200, 200]);
  t.same(await statuses(2, settings(rig, second)), [200, 429], 'a second key has no count of its own');
  const refused = await settings(rig, first)();
  t.match(refused, { status: 429, body: { detail: /Too many requests/, status: 429 } });
  t.equal(refused.headers['x-sandlot-error'], 'too_many_requests');
  t.ok(Number(refused.headers['retry-after']) >= 1 && Number(refused.headers['retry-after']) <= 60);
  t.same(await statuses(3, settings(rig, other)), [200, 200, 200], 'from the same address');
  t.same(
    await statuses(5, () => rig.call('GET', '/list', undefined, first)),
    [200, 200, 200, 200, 200],
    'its own count',
  );
  t.equal((await rig.call('GET', '/list', undefined, first)).status, 429);
  await rig.stop();
});

t.test('streams, sandboxes and probes are not counted', async (t) => {
  const rig = await start({ perUser: 1, perRuntimeUser: 1, perAddress: 1 });
  const key = await keyOf('carol');
  await settings(rig, key)();
  t.equal((await settings(rig, key)()).status, 429);
  const posts = await statuses(5, () => rig.call('POST', '/api/v1/webhooks/conversations', {}));
  t.same(posts, [401, 401, 401, 401, 401]);
  t.same(await statuses(3, () => rig.call('GET', '/alive')), [200, 200, 200]);
  t.same(await statuses(3, () => rig.call('POST', '/api/authenticate')), [401, 401, 401]);
  const stream = () => rig.call('POST', '/api/v1/app-conversations/stream-start', { initial_message: 1 }, key);
  t.notOk((await statuses(3, stream)).includes(429));
  await rig.stop();
});

t.test('where nobody is known an address counts: that of the client, where the proxy is trusted', async (t) => {
  const rig = await start({ perAddress: 2, trustedProxies: ['127.0.0.0/8'] });
  const begin = (forwarded?: string) =>
    rig.call(
      'POST',
      '/oauth/device/authorize',
      undefined,
      forwarded === undefined ? {} : { 'x-forwarded-for': forwarded },
    );
  t.same(await statuses(3, () => begin('203.0.113.1')), [200, 200, 429]);
  t.equal((await begin('203.0.113.2')).status, 200, 'another client');
  t.equal((await begin('198.51.100.9, 203.0.113.1')).status, 429, 'what a client says of itself does not count');
  t.same(await statuses(3, () => begin('2001:db8::1')), [200, 200, 429]);
  t.equal((await begin('2001:db8::ffff:1')).status, 429, 'one network of IPv6 is one client');
  await rig.stop();

  const untrusting = await start({ perAddress: 2 });
  const forged = (n: number) =>
    untrusting.call('POST', '/oauth/device/authorize', undefined, { 'x-forwarded-for': `203.0.113.${n}` });
  t.same(
    [await forged(1), await forged(2), await forged(3)].map(({ status }) => status),
    [200, 200, 429],
  );
  await untrusting.stop();
});

const REDIS = '/usr/bin/redis-server';
t.test('several servers count together in Redis, and go on without it', { skip: !existsSync(REDIS) }, async (t) => {
  const [port] = await freePorts();
  const redis: ChildProcess = spawn(REDIS, ['--port', String(port), '--save', '', '--bind', '127.0.0.1'], {
    stdio: 'ignore',
  });
  const redisUrl = `redis://127.0.0.1:${port}`;
  const [a, b] = await Promise.all([start({ perUser: 2, redisUrl }), start({ perUser: 2, redisUrl })]);
  // Before it answers nothing is counted: then another user is tried.
  let user = 0;
  await until('Redis counts', async () => {
    user += 1;
    const key = await keyOf(`dave-${user}`);
    return (await statuses(3, settings(a, key))).includes(429) ? true : undefined;
  });
  const key = await keyOf('erin');
  t.same(await statuses(1, settings(a, key)), [200]);
  await until('the second server counts too', async () => (await settings(b, key)()).status === 429 || undefined);
  t.equal((await settings(a, key)()).status, 429);
  redis.kill('SIGKILL');
  await once(redis, 'exit');
  await until('requests are served without it', async () => (await settings(a, key)()).status === 200 || undefined);
  await Promise.all([a.stop(), b.stop()]);
});

t.test('the end', async () => {
  await db.close();
  await endSuite(cluster);
});
