/** The OpenAPI document and its page, errors as RFC 9457 has them, and what stands in the head of every answer. */
import t from 'tap';
import { openTestDatabase, startRig } from '../support/api-rig.js';
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

t.test('the end', async () => {
  await rig.stop();
  await db.close();
  await endSuite(cluster);
});
