/** Device login on a real database: a program gets a key once a person has let it in, and only then. */
import t from 'tap';
import { createDeviceLogins, type DeviceGrant } from '../../apiserver/identity/devices.js';
import { openTestDatabase, startRig } from '../support/api-rig.js';
import { endSuite, startCluster } from '../support/cluster.js';

const CANVAS = 'http://localhost:8000';
const GRANT = 'urn:ietf:params:oauth:grant-type:device_code';
const cluster = await startCluster();
const db = await openTestDatabase();
const rig = await startRig(cluster, db, { config: { uiOrigins: [CANVAS] } });

interface Grant {
  device_code: string;
  user_code: string;
}
interface Token {
  access_token: string;
  error?: string;
}
const begin = async () => (await rig.call<Grant>('POST', '/oauth/device/authorize', {})).body;
const decide = (code: string, allow: boolean, headers = {}) =>
  rig.call('POST', `/api/v1/device-logins/${code}`, { allow }, headers);
const bearer = (key: string) => ({ authorization: `Bearer ${key}` });

async function token(deviceCode: string, headers = {}) {
  const response = await rig.server.app.inject({
    method: 'POST',
    url: '/oauth/device/token',
    headers: { host: 'localhost:3000', 'content-type': 'application/x-www-form-urlencoded', ...headers },
    payload: new URLSearchParams({ grant_type: GRANT, device_code: deviceCode }).toString(),
  });
  return { status: response.statusCode, body: response.json<Token>() };
}

t.test('a program waits, a person allows it, and the key comes once', async (t) => {
  const started = await rig.call('POST', '/oauth/device/authorize', {});
  t.match(started, {
    status: 200,
    body: {
      user_code: /^[B-Z]{4}-[B-Z]{4}$/,
      verification_uri: 'http://localhost:3000/oauth/device/verify',
      verification_uri_complete: /^http:\/\/localhost:3000\/oauth\/device\/verify\?user_code=[B-Z]{4}-[B-Z]{4}$/,
      expires_in: 600,
      interval: 5,
    },
  });
  const { device_code: device, user_code: code } = started.body as unknown as Grant;
  t.match(await token(device), { status: 400, body: { error: 'authorization_pending' } });
  t.match(await token(device), { status: 400, body: { error: 'slow_down' } });
  // As people type: small letters, no dash.
  t.match(await decide(code.toLowerCase().replace('-', ''), true), { status: 200, body: { allowed: true } });
  const given = await token(device);
  t.match(given, { status: 200, body: { access_token: /^sk-oh-/, token_type: 'Bearer', expires_in: 90 * 86_400 } });
  t.match(await token(device), { status: 400, body: { error: 'expired_token' } }, 'the code is used up');
  t.equal((await decide(code, true)).status, 404, 'and so is the decision');
  const key = given.body.access_token;
  t.match(await rig.call('GET', '/api/keys/current', undefined, bearer(key)), {
    status: 200,
    body: { name: 'Device login', scopes: ['full'] },
  });
  t.equal((await decide((await begin()).user_code, true, bearer(key))).status, 403, 'a key lets nobody in');
  t.notMatch(JSON.stringify(await db.prisma.deviceLogin.findMany()), device);
});

t.test('one that is denied, unknown or asks wrongly gets none', async (t) => {
  const denied = await begin();
  t.match(await decide(denied.user_code, false), { status: 200, body: { allowed: false } });
  t.equal((await decide(denied.user_code, true)).status, 404, 'a decision is not taken back');
  t.match(await token(denied.device_code), { status: 400, body: { error: 'access_denied' } });
  t.match(await token('nothing'), { status: 400, body: { error: 'expired_token' } });
  t.match(await decide('BBBB-BBBB', true), { status: 404, body: { detail: /ten minutes/ } });
  for (const [body, error] of [
    [{}, 'invalid_request'],
    [{ grant_type: 'password', device_code: 'x' }, 'unsupported_grant_type'],
  ] as const)
    t.match(await rig.call('POST', '/oauth/device/token', body), { status: 400, body: { error } });
});

t.test('two that ask with one code: one key; a disabled person: none; after ten minutes: none', async (t) => {
  let now = Date.now();
  const logins = createDeviceLogins({ prisma: db.prisma, clock: { now: () => now } });
  const start = async () => (await logins.begin()) as DeviceGrant;
  const first = await start();
  await logins.decide(first.userCode, 'local', true);
  const both = await Promise.all([logins.redeem(first.deviceCode), logins.redeem(first.deviceCode)]);
  t.equal(both.filter((each) => 'key' in each).length, 1);

  await db.prisma.user.create({ data: { id: 'gone', disabledAt: new Date() } });
  const second = await start();
  await logins.decide(second.userCode, 'gone', true);
  t.same(await logins.redeem(second.deviceCode), { problem: 'access_denied' });

  const third = await start();
  t.same(await logins.redeem(third.deviceCode), { problem: 'authorization_pending' });
  now += 5000;
  t.same(await logins.redeem(third.deviceCode), { problem: 'authorization_pending' }, 'at the pace it was told');
  now += 600_000;
  t.equal(await logins.decide(third.userCode, 'local', true), false);
  t.same(await logins.redeem(third.deviceCode), { problem: 'expired_token' });
  await start();
  t.equal(await db.prisma.deviceLogin.count({ where: { userCode: third.userCode } }), 0, 'and its row is swept');
});

t.test('a frontend of another origin: with a key, never without', async (t) => {
  const of = (origin: string, more = {}) => ({ origin, 'sec-fetch-site': 'cross-site', ...more });
  const preflight = await rig.call('OPTIONS', '/api/v1/settings', undefined, {
    ...of(CANVAS),
    'access-control-request-method': 'POST',
    'access-control-request-headers': 'authorization,content-type,x-org-id',
  });
  t.match(preflight, {
    status: 204,
    headers: {
      'access-control-allow-origin': CANVAS,
      'access-control-allow-headers': 'authorization,content-type,x-org-id',
    },
  });
  t.notOk(preflight.headers['access-control-allow-credentials'], 'cookies are not for it');
  t.equal((await rig.call('GET', '/api/v1/sandboxes/search', undefined, of(CANVAS))).status, 401);
  const { device_code: device, user_code: code } = (
    await rig.call<Grant>('POST', '/oauth/device/authorize', {}, of(CANVAS))
  ).body;
  await decide(code, true);
  const key = (await token(device, of(CANVAS))).body.access_token;
  t.match(await rig.call('GET', '/api/v1/sandboxes/search', undefined, of(CANVAS, bearer(key))), {
    status: 200,
    headers: { 'access-control-allow-origin': CANVAS },
  });
  const stranger = await rig.call('GET', '/api/v1/sandboxes/search', undefined, of('http://evil.example', bearer(key)));
  t.notOk(stranger.headers['access-control-allow-origin'], 'a page that is not listed reads nothing');
});

t.test('the end', async () => {
  await rig.stop();
  await db.close();
  await endSuite(cluster);
});
