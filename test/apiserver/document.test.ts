/** The OpenAPI document and its page, errors as RFC 9457 has them, and what stands in the head of every answer. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { packageRoot } from '../../process/root.js';
import { checkAnswers, type Document } from '../support/answers.js';
import { newId, openTestDatabase, startRig } from '../support/api-rig.js';
import { endSuite, startCluster } from '../support/cluster.js';

t.setTimeout(280_000);

const cluster = await startCluster();
const db = await openTestDatabase();
const rig = await startRig(cluster, db);

interface Operation {
  operationId: string;
  parameters?: { name: string; in: string; required?: boolean; schema: Record<string, unknown> }[];
  requestBody?: { content: Record<string, { schema: Record<string, unknown> }> };
}

t.test('the document shows the schemas that check the requests', async (t) => {
  const { body } = await rig.call<{ openapi: string; paths: Record<string, Record<string, Operation>> }>(
    'GET',
    '/openapi.json',
  );
  t.equal(body.openapi, '3.1.0');
  const search = body.paths['/api/v1/app-conversations/search']?.get;
  t.match(
    search?.parameters?.find(({ name }) => name === 'title__contains'),
    { in: 'query', schema: { type: 'string', maxLength: 500 } },
  );
  const rename = body.paths['/api/v1/settings/profiles/{name}/rename']?.post;
  t.match(rename?.requestBody?.content['application/json']?.schema, {
    required: ['new_name'],
    properties: { new_name: { type: 'string' } },
  });
  t.match(
    rename?.parameters?.find(({ name }) => name === 'name'),
    { in: 'path', required: true },
  );
  const ids = Object.values(body.paths).flatMap((methods) => Object.values(methods).map((one) => one.operationId));
  t.equal(new Set(ids).size, ids.length, 'every operation has a name of its own');
});

t.test('its page loads nothing from elsewhere and works under the policy of the UI', async (t) => {
  const page = await rig.call('GET', '/docs/');
  t.match(page, {
    status: 200,
    headers: { 'content-security-policy': /script-src 'self';/, 'x-frame-options': 'DENY' },
  });
  t.notMatch(page.text, /(src|href)="(https?:)?\/\//);
  t.notMatch(page.text, /<script>|<script [^>]*>\s*\S+\s*<\/script>/, 'no inline scripts');
  const script = await rig.call('GET', '/docs/static/swagger-initializer.js');
  t.match(script, { status: 200, text: /resolveUrl\('\.\/json'\)/ });
  const [, mark = ''] = /data:image\/svg\+xml;base64,([A-Za-z0-9+/=]+)/.exec(script.text) ?? [];
  t.match(Buffer.from(mark, 'base64').toString(), /#b4531a/, 'our mark');
  t.match(page.text, /href="[^"]*mark\.svg"/);
  t.same((await rig.call('GET', '/docs/json')).body, (await rig.call('GET', '/openapi.json')).body, 'what it shows');
});

t.test('errors have the members of RFC 9457 beside the compatible ones', async (t) => {
  const wrong = await rig.call('GET', '/api/v1/app-conversations/search?limit=x', undefined, {
    'x-request-id': 'from-the-proxy',
  });
  t.match(wrong, {
    status: 422,
    headers: { 'x-request-id': 'from-the-proxy', 'x-sandlot-error': 'validation' },
    body: {
      type: 'urn:sandlot:error:validation',
      status: 422,
      instance: 'urn:sandlot:request:from-the-proxy',
      detail: [{ loc: ['query', 'limit'] }],
    },
  });
  const plain = await rig.call('GET', '/api/v1/app-conversations/search?limit=x', undefined, {
    accept: 'application/problem+json',
  });
  t.match(plain, {
    status: 422,
    headers: { 'content-type': /^application\/problem\+json/ },
    body: { detail: 'The request is not valid.', errors: [{ loc: ['query', 'limit'] }] },
  });
  const forged = await rig.call('GET', '/api/v1/nothing', undefined, { 'x-request-id': 'a b"<' });
  t.match(forged, { status: 404, body: { instance: /^urn:sandlot:request:[0-9a-f-]{36}$/ } });
});

t.test('answers of the API are neither kept nor sniffed', async (t) => {
  const { headers } = await rig.call('GET', '/api/v1/app-conversations/search');
  t.match(headers, { 'cache-control': /no-store/, 'x-content-type-options': 'nosniff' });
});

/** What the reads below find. */
async function addSomething(): Promise<string> {
  const id = newId();
  await rig.call('POST', '/api/v1/settings', { language: 'en' });
  await rig.call('POST', '/api/v1/secrets', { name: 'ONE', value: 'x' });
  await rig.call('POST', '/api/v1/settings/profiles/one', { llm: { model: 'openai/m' } });
  await rig.call('POST', '/api/agent-profiles/one', { llm_profile_ref: 'one' });
  await rig.call('POST', '/api/keys', { name: 'one' });
  const owned = { ownerId: 'local', conversationId: id };
  await db.prisma.conversation.create({
    data: { id, ownerId: 'local', sandboxId: 'gone', title: 'One', workingDir: '/w' },
  });
  await db.prisma.startTask.create({ data: { id, ...owned, status: 'READY', request: {} } });
  const event = { id: 'e1', kind: 'MessageEvent', timestamp: '2026-01-01T00:00:00.000000' };
  await db.prisma.event.create({ data: { ...owned, ...event, body: JSON.stringify(event) } });
  return id;
}

t.test('what is read here is what the document says', async (t) => {
  const document = (await rig.call<Document>('GET', '/openapi.json')).body;
  const check = checkAnswers(document);
  const id = await addSomething();
  const told: string[] = [];
  for (const [path, methods] of Object.entries(document.paths)) {
    if (!('get' in methods)) continue;
    const url = path.replace(/\{(\w+)\}/g, (_, name: string) => (name === 'name' ? 'one' : id));
    const { status, body } = await rig.call('GET', `${url}?ids=${id}&id=gone`);
    const wrong = check.wrong({ method: 'GET', url, status, body });
    if (wrong !== undefined) t.fail(wrong);
    if (status === 200 && check.isTold('GET', url)) told.push(path);
  }
  t.ok(told.length >= 25, `${told.length} routes answered`);
  t.match(
    check.wrong({ method: 'GET', url: '/api/v1/app-conversations', status: 200, body: [{ id }] }),
    /required property/,
    'what is not so is found',
  );
});

t.test('what the recorded app server answered is what the document says of ours', async (t) => {
  const check = checkAnswers((await rig.call<Document>('GET', '/openapi.json')).body);
  const folder = join(packageRoot(), 'test/conformance/app-server');
  const recorded = readdirSync(folder)
    .filter((file) => file.endsWith('.json') && file !== 'openapi.json')
    .flatMap(
      (file) => (JSON.parse(readFileSync(join(folder, file), 'utf8')) as { exchanges?: Exchange[] }).exchanges ?? [],
    );
  let held = 0;
  for (const { request, response } of recorded) {
    const { method, path: url } = request;
    if (isShortened(response.body)) continue;
    const wrong = check.wrong({ method, url, status: response.status, body: response.body });
    if (wrong !== undefined) t.fail(wrong);
    if (response.status < 300 && check.isTold(method, url)) held += 1;
  }
  t.ok(held >= 40, `${held} of ${recorded.length} recorded exchanges`);
});

/** Two recordings were cut short by hand: `<as without a key>`, and settings of which only what matters there was kept. */
const isShortened = (body: unknown): boolean =>
  typeof body === 'string'
    ? body.startsWith('<')
    : typeof body === 'object' && body !== null && 'llm_api_key_set' in body && !('language' in body);

interface Exchange {
  request: { method: string; path: string };
  response: { status: number; body?: unknown };
}

t.test('the end', async () => {
  await rig.stop();
  await db.close();
  await endSuite(cluster);
});
