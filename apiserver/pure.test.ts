import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { z } from 'zod';
import type { Sandbox } from '../contracts/resources.js';
import { endpointOf } from './agent/http.js';
import { pathsOf } from './agent/listing.js';
import { readApiConfig } from './config.js';
import { ApiError, ERRORS } from './http/errors.js';
import { pageOf, readCursor, sliceByOffset, writeCursor } from './http/page.js';
import { eventTime } from './http/times.js';
import { batchIds, hexId, limit, moment, parse } from './http/validate.js';
import { zipOf } from './http/zip.js';
import { refusal, type Judged } from './identity/guard.js';
import { metricsOf } from './ingest/metrics.js';
import { exposedUrls, failureOf, progressOf, statusOf } from './sandboxes/status.js';
import { applyChange, emptySettings, llmOf, MASK, shownSettings } from './settings/model.js';
import { contentSecurityPolicy, inlineScripts } from './static/static.js';

const SECRET = 'x'.repeat(40);
const gateway = { form: 'host', protocol: 'http', domain: 'sandbox.localhost:3001' } as const;
const problems = (run: () => unknown): string => {
  try {
    run();
    return '';
  } catch (error) {
    return (error as Error).message;
  }
};

t.test('configuration: without a login it stays on this machine', async (t) => {
  const env = { SANDLOT_SECRET: SECRET, SANDLOT_IDENTITY: 'single-user' };
  t.match(readApiConfig(env), { host: '127.0.0.1', port: 3000, databaseUrl: 'pglite:.sandlot/database', gateway });
  t.match(readApiConfig({ ...env, SANDLOT_WEBHOOK_PORT: '3002' }), { webhooks: { host: '0.0.0.0', port: 3002 } });
  const wrong: [object, RegExp][] = [
    [{ SANDLOT_IDENTITY: '' }, /SANDLOT_IDENTITY: must be set/],
    [
      { SANDLOT_HOST: '0.0.0.0', SANDLOT_SINGLE_USER_ANYWHERE: 'true' },
      /SANDLOT_SINGLE_USER_ANYWHERE: must be exactly/,
    ],
    [
      { SANDLOT_HOST: '0.0.0.0', SANDLOT_SINGLE_USER_ANYWHERE: 'everyone-who-reaches-it-is-the-user' },
      /SANDLOT_PUBLIC_URL: must be set/,
    ],
    [{ SANDLOT_IDENTITY: 'oidc' }, /SANDLOT_PUBLIC_URL.*\n.*SANDLOT_OIDC_ISSUER.*\n.*SANDLOT_OIDC_CLIENT_ID/],
    [
      {
        SANDLOT_IDENTITY: 'oidc',
        SANDLOT_PUBLIC_URL: 'http://sandlot.example.com',
        SANDLOT_OIDC_ISSUER: 'https://id.example.com/realms/a',
        SANDLOT_OIDC_CLIENT_ID: 'sandlot',
      },
      /SANDLOT_PUBLIC_URL: must be https/,
    ],
    [{ SANDLOT_HOST: '0.0.0.0' }, /SANDLOT_HOST: must be a loopback address/],
    [{ DATABASE_URL: 'mysql://x' }, /DATABASE_URL: must be/],
    [{ SANDLOT_GATEWAY_FORM: 'cone' }, /SANDLOT_GATEWAY_FORM/],
  ];
  for (const [change, message] of wrong)
    t.match(
      problems(() => readApiConfig({ ...env, ...change })),
      message,
    );
});

t.test('the guard: other hosts and other sites', async (t) => {
  const local: Judged = { method: 'POST', host: 'localhost:3000', origin: undefined, fetchSite: undefined };
  const table: [Partial<Judged>, string | undefined][] = [
    [{}, undefined],
    [{ host: '127.0.0.1' }, undefined],
    [{ host: '[::1]:3000' }, undefined],
    [{ host: 'evil.example' }, 'forbidden_host'],
    [{ host: 'localhost.evil.example' }, 'forbidden_host'],
    [{ host: '' }, 'forbidden_host'],
    [{ host: undefined }, 'forbidden_host'],
    [{ method: 'GET', host: 'evil.example:3000' }, 'forbidden_host'],
    [{ origin: 'http://localhost:3000', fetchSite: 'same-origin' }, undefined],
    [{ origin: 'http://evil.example' }, 'forbidden_origin'],
    [{ origin: 'http://localhost:4000' }, 'forbidden_origin'],
    [{ origin: 'null' }, 'forbidden_origin'],
    [{ fetchSite: 'cross-site' }, 'forbidden_origin'],
    // A sandbox's own site is a sub-domain of localhost: same-site is not enough.
    [{ fetchSite: 'same-site' }, 'forbidden_origin'],
    [{ method: 'GET', fetchSite: 'cross-site' }, undefined],
  ];
  for (const [change, expected] of table) t.equal(refusal({ ...local, ...change }), expected, JSON.stringify(change));

  const canvas = 'http://localhost:8000';
  const listed: [Partial<Judged> & { bringsKey?: boolean }, string | undefined][] = [
    [{ origin: canvas, fetchSite: 'same-site' }, 'key_required'],
    [{ origin: canvas, method: 'GET' }, 'key_required'],
    [{ origin: canvas, fetchSite: 'same-site', bringsKey: true }, undefined],
    [{ origin: 'http://localhost:8001', bringsKey: true }, 'forbidden_origin'],
    [{ origin: canvas, host: 'evil.example', bringsKey: true }, 'forbidden_host'],
  ];
  for (const [change, expected] of listed)
    t.equal(refusal({ ...local, ...change }, { origins: [canvas] }), expected, JSON.stringify(change));
});

t.test('a list of files: names as they are, one that was cut off is none', async (t) => {
  t.same(pathsOf('./a b.txt\n./src/./x\n./cut'), ['a b.txt', 'src/./x']);
  t.same(pathsOf(''), []);
});

t.test('errors: every code has a status, a form and words', async (t) => {
  for (const [code, { status, form, text }] of Object.entries(ERRORS)) {
    t.match([status >= 400 && status < 600, text.length > 0], [true, true], code);
    t.same(new ApiError(code as keyof typeof ERRORS).body, { [form]: text });
  }
});

t.test('input', async (t) => {
  const query = z.object({ limit: limit(), at: moment.optional(), id: z.string() });
  const issues = (value: object) => {
    try {
      parse(query, value, 'query');
      return [];
    } catch (error) {
      return (error as ApiError).body.detail as { type: string; loc: string[]; msg: string }[];
    }
  };
  t.match(issues({ limit: '0', at: 'soon' }), [
    { loc: ['query', 'limit'], msg: 'Input should be greater than 0' },
    { loc: ['query', 'at'] },
    { type: 'missing', loc: ['query', 'id'], msg: 'Field required' },
  ]);
  t.same(parse(query, { id: 'x', at: '2026-05-01T09:00:00' }, 'query').at, new Date('2026-05-01T09:00:00Z'));
  t.equal(hexId('0B387c0e-32a9-4252-bae4-9cd722c2bad7'), '0b387c0e32a94252bae49cd722c2bad7');
  for (const wrong of ['', 'nonsense', '0b387c0e-32a94252bae49cd722c2bad7', 'g'.repeat(32)])
    t.equal(hexId(wrong), undefined);
  t.throws(() => batchIds(['a'], 99), { message: "Invalid UUID format for ids: ['a']" });
  t.throws(() => batchIds(Array<string>(100).fill('a'), 99), { message: 'Too many ids requested. Maximum is 99.' });
});

t.test('pages', async (t) => {
  const all = [1, 2, 3, 4, 5];
  t.same(sliceByOffset(all, undefined, 3), { items: [1, 2, 3], next_page_id: 'Mw' });
  t.same(sliceByOffset(all, 'Mw', 3), { items: [4, 5], next_page_id: null });
  t.same(sliceByOffset(all, '3', 3).items, [4, 5]);
  t.same(sliceByOffset(all, 'nonsense', 2).items, [1, 2]);
  t.same(readCursor(writeCursor(['a', 'b']), 2), ['a', 'b']);
  for (const wrong of ['nonsense', writeCursor(['a']), Buffer.from('{}').toString('base64url')])
    t.equal(readCursor(wrong, 2), undefined);
  t.same(
    pageOf([1, 2, 3], 2, (n) => [String(n)]),
    { items: [1, 2], next_page_id: writeCursor(['2']) },
  );
  t.same(pageOf([1, 2], 2, (n) => [String(n)]).next_page_id, null);
});

t.test('times of events sort as text', async (t) => {
  const table: [string, string | undefined][] = [
    ['2026-05-01T09:00:00.123456', '2026-05-01T09:00:00.123456'],
    ['2026-05-01T09:00:00', '2026-05-01T09:00:00.000000'],
    ['2026-05-01 09:00:00.5', '2026-05-01T09:00:00.500000'],
    ['2026-05-01T09:00:00.123456Z', '2026-05-01T09:00:00.123456'],
    ['2026-05-01T11:00:00.123456789+02:00', '2026-05-01T09:00:00.123456'],
    ['yesterday', undefined],
    ['', undefined],
  ];
  for (const [text, expected] of table) t.equal(eventTime(text), expected, text);
});

t.test('zip: what unzip reads', async (t) => {
  const file = join(t.testdir(), 'a.zip');
  writeFileSync(
    file,
    zipOf([
      { name: 'one.json', text: '{"a":"ü"}' },
      { name: 'two.txt', text: 'x'.repeat(10_000) },
    ]),
  );
  const read = (name: string) =>
    execFileSync('python3', [
      '-c',
      `import zipfile,sys; z=zipfile.ZipFile(sys.argv[1]); assert z.testzip() is None; sys.stdout.buffer.write(z.read(sys.argv[2]))`,
      file,
      name,
    ]).toString();
  if (!hasPython()) return t.pass('no other implementation on this machine to compare with');
  t.equal(read('one.json'), '{"a":"ü"}');
  t.equal(read('two.txt').length, 10_000);
});

function hasPython(): boolean {
  try {
    execFileSync('python3', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const ready = { type: 'Ready', status: 'True', reason: 'AgentReady', message: 'ok', lastTransitionTime: '' } as const;
const sandbox = (change: { spec?: Sandbox['spec']; status?: Sandbox['status']; deleted?: boolean } = {}): Sandbox => ({
  metadata: {
    name: 'a',
    creationTimestamp: '2026-05-01T09:00:00Z',
    ...(change.deleted === true ? { deletionTimestamp: 'now' } : {}),
  },
  spec: { owner: 'local', runState: 'Running', ...change.spec },
  status: {
    phase: 'Running',
    slot: 'saaaaaaaaaaaaa',
    keyEpoch: 1,
    podIP: '10.0.0.7',
    ports: [{ name: 'agent', port: 60_000 }],
    conditions: [ready],
    ...change.status,
  },
});

t.test('status of a sandbox', async (t) => {
  const table: [string, Sandbox | undefined, string][] = [
    ['unknown', undefined, 'MISSING'],
    ['ready', sandbox(), 'RUNNING'],
    ['being deleted', sandbox({ deleted: true }), 'MISSING'],
    ['new', { ...sandbox(), status: {} }, 'STARTING'],
    ['not ready', sandbox({ status: { conditions: [{ ...ready, status: 'False' }] } }), 'STARTING'],
    ['told to pause', sandbox({ spec: { runState: 'Paused' } }), 'STARTING'],
    ['paused', sandbox({ spec: { runState: 'Paused' }, status: { phase: 'Paused' } }), 'PAUSED'],
    ['told to resume', sandbox({ status: { phase: 'Paused', conditions: [] } }), 'STARTING'],
    ['failed', sandbox({ status: { phase: 'Failed', conditions: [] } }), 'ERROR'],
  ];
  for (const [name, given, expected] of table) t.equal(statusOf(given), expected, name);
  t.match(
    failureOf(
      sandbox({
        status: {
          phase: 'Failed',
          conditions: [{ ...ready, status: 'False', message: 'no image', reason: 'ImagePull' }],
        },
      }),
    ),
    'no image (ImagePull)',
  );
  t.match(
    progressOf(
      sandbox({ status: { conditions: [{ ...ready, type: 'PodScheduled', status: 'False', message: 'no node' }] } }),
    ),
    'no node',
  );
  t.match(endpointOf(sandbox(), SECRET), { base: 'http://10.0.0.7:60000' });
  t.match(endpointOf(sandbox({ status: { podIP: 'fd00::7' } }), SECRET), { base: 'http://[fd00::7]:60000' });
  t.equal(endpointOf(sandbox({ status: { podIP: '' } }), SECRET), undefined);
  const urls = exposedUrls(sandbox(), { gateway, secret: SECRET, folder: '/workspace/project' }) ?? [];
  t.match(
    urls.map(({ name, port }) => `${name} ${port}`),
    ['AGENT_SERVER 60000', 'VSCODE 8001', 'WORKER_1 8011', 'WORKER_2 8012'],
  );
  t.match(
    urls[1]?.url,
    /^http:\/\/vscode-saaaaaaaaaaaaa\.sandbox\.localhost:3001\/\?tkn=.+&folder=%2Fworkspace%2Fproject$/,
  );
});

t.test('settings: diffs, masks, resets, refusals', async (t) => {
  const change = (...bodies: Record<string, unknown>[]) => bodies.reduce(applyChange, emptySettings());
  const llm = (values: object) => ({ agent_settings_diff: { llm: values } });
  const stored = change(llm({ model: 'openai/m', api_key: 'k', timeout: 5 }), { language: 'de', unknown: 1 });
  t.match(llmOf(stored.agent, { secrets: true }), { model: 'openai/m', api_key: 'k', timeout: 5, num_retries: 5 });
  t.match(llmOf(stored.agent, { secrets: false }), { api_key: null });
  t.notMatch(JSON.stringify(shownSettings(stored, { now: new Date(), providers: [] })), '"k"');
  t.equal(change(llm({ api_key: 'k' }), llm({ api_key: MASK })).agent['llm.api_key'], 'k', 'a mask means unchanged');
  t.equal(change(llm({ api_key: 'k' }), llm({ api_key: null })).agent['llm.api_key'], undefined, 'null takes it away');
  t.same(
    change(llm({ model: 'a', timeout: 1 }), { agent_settings_diff: { llm: null } }).agent,
    {},
    'null for a section resets it',
  );
  t.same(change({ agent_settings_diff: { mcp_config: { mcpServers: { a: { url: 'u' } } } } }).agent.mcp_config, {
    a: { url: 'u' },
  });
  t.same(change({ language: 'de' }, { language: null }).scalars, {});
  const refused: [Record<string, unknown>, RegExp][] = [
    [llm({ timeout: 'long' }), /llm\.timeout/],
    [llm({ reasoning_effort: 'immense' }), /reasoning_effort/],
    [{ conversation_settings_diff: { max_iterations: 0 } }, /max_iterations/],
    [{ sandbox_grouping_strategy: 'NONSENSE' }, /sandbox_grouping_strategy/],
    [{ agent_settings_diff: [] }, /agent_settings_diff/],
    [{ agent_settings: {} }, /diff/],
  ];
  for (const [body, message] of refused)
    t.match(
      problems(() => change(body)),
      message,
    );
});

t.test('metrics are summed over usages; nonsense is none', async (t) => {
  const usage = (n: number) => ({
    prompt_tokens: n,
    completion_tokens: n,
    cache_read_tokens: 0,
    cache_write_tokens: 0,
    reasoning_tokens: 0,
    context_window: n,
    per_turn_token: n,
  });
  const metrics = metricsOf({
    usage_to_metrics: {
      agent: { accumulated_cost: 1, accumulated_token_usage: usage(2) },
      condenser: { accumulated_cost: 0.5, accumulated_token_usage: usage(3) },
    },
  });
  t.match(metrics, { accumulated_cost: 1.5, accumulated_token_usage: { prompt_tokens: 5, context_window: 3 } });
  for (const wrong of [undefined, null, 'x', { usage_to_metrics: 5 }]) t.equal(metricsOf(wrong), undefined);
  t.equal(metricsOf({ usage_to_metrics: { a: { accumulated_cost: 'much' } } })?.accumulated_cost, 0);
});

t.test('the page may talk to sandboxes and to nothing else', async (t) => {
  t.match(
    contentSecurityPolicy(gateway),
    `connect-src 'self' http://*.sandbox.localhost:3001 ws://*.sandbox.localhost:3001`,
  );
  t.match(
    contentSecurityPolicy({ form: 'sibling', protocol: 'https', domain: 'hub.example.com' }),
    `frame-src 'self' https://*.example.com`,
  );
  t.match(contentSecurityPolicy({ ...gateway, form: 'path' }), `frame-src 'self' http://sandbox.localhost:3001`);
});

t.test('scripts that stand in the page are let in by what they say', async (t) => {
  const page = `<script src="/a.js"></script><script type="module" async="">1\n</script><script>2</script>`;
  // printf '1\n' | openssl dgst -sha256 -binary | base64
  const hashes = [
    `'sha256-Q1WkaxnTSNwvV8BG+O9j1FOOu5NgAPPJ7pVKJ0YN2GU='`,
    `'sha256-1HNeOiZeFu7gP1lxi5tdAwGcB9i2xR+Q2jpmbuwTqzU='`,
  ];
  t.same(inlineScripts(page), hashes);
  t.match(contentSecurityPolicy(gateway, hashes), `script-src 'self' ${hashes.join(' ')};`);
});
