#!/usr/bin/env node
// Plays the recorded conversation with the real application server (openhands-ai 1.11.0) against any server and compares.
//   node app-server.mjs --base http://127.0.0.1:3000 --llm http://127.0.0.1:3902/v1 [--only NAME]... [--allow-extra] [--verbose]
// The server must have no settings and no conversations yet; `node app-llm.mjs 3902` is the model that its agents must reach.
// --better FILE: a JSON list of {exchange: 'scenario › number', why}: answers that differ on purpose; they must differ.
// Plain Node 20, no packages. Exit code 1 when an answer differs. --update DIR records (only ever from the real server).
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { fileURLToPath, pathToFileURL } from 'node:url';

const { values: opt } = parseArgs({
  options: {
    base: { type: 'string', default: 'http://127.0.0.1:3000' },
    llm: { type: 'string', default: 'http://127.0.0.1:3902/v1' },
    only: { type: 'string', multiple: true },
    update: { type: 'string' },
    header: { type: 'string', multiple: true, default: [] },
    better: { type: 'string' },
    pace: { type: 'string', default: '130' },
    'allow-extra': { type: 'boolean', default: false },
    'problem-fields': { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
  },
});
const common = Object.fromEntries(opt.header.map((line) => line.split(/:\s*/, 2)));
const better = new Map(
  opt.better ? JSON.parse(fs.readFileSync(opt.better, 'utf8')).map((one) => [one.exchange, one.why]) : [],
);
const here = path.dirname(fileURLToPath(import.meta.url));

/** What later scenarios need of earlier ones: the conversation, its sandbox and that sandbox's key. */
export const state = { id: undefined, sandbox: undefined, key: undefined };
export const V = '/api/v1';
const scenarios = [];
let exchanges, names;

/** Scenarios run in the order of `at`, since they share one user's state. */
export function scenario(at, name, why, play, dir = path.join(here, 'app-server')) {
  scenarios.push({ at, name, why, play, dir });
}
export const record = (exchange) => exchanges.push(exchange);
export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
export const base = opt.base,
  llm = opt.llm;

/** Makes what differs from run to run equal: ids, keys, times, ports, sizes. The same id keeps the same number in a file. */
function normal(value, field = '') {
  if (Array.isArray(value)) return value.map((one) => normal(one, field));
  if (value && typeof value === 'object')
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [normalText(k), normal(v, k)]));
  if (typeof value === 'number')
    return /latency|^cpu_|uptime|idle_time|elapsed|^duration/.test(field) ? '<number>' : value;
  return typeof value === 'string' ? normalText(value, field) : value;
}
function normalText(text, field = '') {
  if (/session_api_key|^X-Session-API-Key$/i.test(field) && text.length > 8 && !/^\*+$/.test(text))
    return '<session-key>';
  const named = (id, kind) => `<${kind}:${names.get(id) ?? names.set(id, names.size + 1).get(id)}>`;
  return text
    .replace(/(?<![0-9a-f])[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![0-9a-f])/g, (id) =>
      named(id.replaceAll('-', ''), 'uuid'),
    )
    .replace(/\bphc_[A-Za-z0-9]+/g, '<posthog-client-key>')
    .replace(/(tkn=)[0-9a-f]{32}/g, '$1<session-key>')
    .replace(/\b[0-9a-f]{32}\b/g, (id) => (id === state.key ? '<session-key>' : named(id, 'hex')))
    .replace(/(127\.0\.0\.1:\d+\/)[0-9a-f]{16}\b/g, '$1<runtime-id>')
    .replace(/\bConversation [0-9a-f]{5}\b/g, 'Conversation <hex5>')
    .replace(/\b(?=\w*\d)(?=\w*[A-Z])[0-9A-Za-z]{21,22}\b/g, (id) => named(id, 'base62'))
    .replace(
      /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?/g,
      (_, fraction, zone) => `<time${fraction ? '' : ' without fraction'}${zone ? ` ${zone}` : ''}>`,
    )
    .replace(/\b[0-9A-F]{2}\/[0-9A-F]{2}\/\d{4}\b/g, '<date>')
    .replace(
      /(127\.0\.0\.1):(\d{4,5})/g,
      (_, host, port) =>
        `<host:${{ [new URL(opt.base).port]: 'app', [new URL(opt.llm).port]: 'llm' }[port] ?? 'runtime-api'}>`,
    );
}

export async function call(method, where, body, { headers = {}, quiet = false, keep = 12_000 } = {}) {
  await sleep(Number(opt.pace)); // the real server lets ten calls a second through at once
  const answer = await fetch(opt.base + where, {
    method,
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...common, ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const type = answer.headers.get('content-type') ?? '';
  const raw = Buffer.from(await answer.arrayBuffer());
  let got = raw.toString('utf8');
  if (/json/.test(type))
    try {
      got = JSON.parse(got);
    } catch {}
  else if (!/text\/plain/.test(type)) got = { bytes: '<number>' };
  if (!quiet)
    record({
      request: { method, path: where, headers: Object.keys(headers).length ? headers : undefined, body },
      response: {
        status: answer.status,
        type,
        retryAfter: answer.headers.get('retry-after') ?? undefined,
        disposition: answer.headers.get('content-disposition') ?? undefined,
        body: keep === 0 ? { bytes: '<number>' } : JSON.stringify(got)?.length > keep ? shorten(got) : cut(got),
      },
    });
  return { status: answer.status, body: got };
}
/** Keeps the shape of a long answer: at most two items of any list, at most 400 characters of any text. */
function shorten(value) {
  if (Array.isArray(value))
    return value.length > 2
      ? [...value.slice(0, 2).map(shorten), `<${value.length - 2} more of the same shape>`]
      : value.map(shorten);
  if (value && typeof value === 'object')
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, shorten(v)]));
  return typeof value === 'string' && value.length > 400 ? value.slice(0, 400) + '<cut>' : value;
}
/** No long text of the product itself (system prompt, tool descriptions) stays in a file. */
function cut(value) {
  if (Array.isArray(value)) return value.map(cut);
  if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, cut(v)]));
  return typeof value === 'string' && value.length > 500 ? value.slice(0, 120) + '<cut>' : value;
}
export const get = (where, options) => call('GET', where, undefined, options);
export const post = (where, body, options) => call('POST', where, body, options);
export const one = async (id) => (await get(`${V}/app-conversations?ids=${id}`, { quiet: true })).body[0];
export async function until(id, test) {
  if (!id) throw new Error('no conversation');
  for (let i = 0; i < 120; i++) {
    const c = await one(id);
    if (test(c)) return c;
    await sleep(500);
  }
  throw new Error('did not come to pass');
}
export const say = (text) => ({ role: 'user', content: [{ type: 'text', text }] });

// ---- scenarios ----

scenario(10, 'boot', 'What the frontend and probes ask before anything else', async () => {
  for (const where of ['/alive', '/health', '/ready', `${V}/web-client/config`]) await get(where, { keep: 40_000 });
  await get('/some/page/of/the/spa');
  await get('/locales/en/translation.json', { keep: 0 });
});
scenario(20, 'settings-new-user', 'A user without settings: 404 opens the first-start dialog', async () => {
  await get(`${V}/settings`);
  await get(`${V}/users/me`);
});
scenario(30, 'settings', 'Saving and reading settings: nested diff, masks, deletion by null, refusals', async () => {
  await post(`${V}/settings`, {
    agent_settings_diff: { llm: { model: 'openai/scripted', api_key: 'sk-local-test', base_url: llm } },
    language: 'en',
  });
  await get(`${V}/settings`, { keep: 40_000 });
  await post(`${V}/settings`, {
    conversation_settings_diff: { max_iterations: 77, confirmation_mode: false },
    git_user_name: 'someone',
    sandbox_grouping_strategy: 'NO_GROUPING',
    user_consents_to_analytics: false,
  });
  await post(`${V}/settings`, { agent_settings_diff: { llm: { api_key: '**********' } } });
  await get(`${V}/settings`, { quiet: true }).then((a) =>
    record({
      request: { method: 'GET', path: `${V}/settings`, note: 'after the mask was sent back: the key is lost' },
      response: {
        status: 200,
        body: {
          llm_api_key_set: a.body.llm_api_key_set,
          agent_settings: { llm: { api_key: a.body.agent_settings.llm.api_key ?? null } },
        },
      },
    }),
  );
  await post(`${V}/settings`, { agent_settings_diff: { llm: { api_key: 'sk-local-test' } } });
  await post(`${V}/settings`, {
    agent_settings_diff: { mcp_config: { mcpServers: { remote: { url: 'http://127.0.0.1:9/mcp' } } } },
  });
  await get(`${V}/settings`, { keep: 40_000 });
  await post(`${V}/settings`, { agent_settings_diff: { mcp_config: null } });
  await post(`${V}/settings`, { agent_settings: { llm: { model: 'x' } } });
  await post(`${V}/settings`, { conversation_settings_diff: { max_iterations: 'many' } });
  await post(`${V}/settings`, { unknown_field: 1 });
  await post(`${V}/settings`, []);
});
scenario(40, 'settings-schema', 'The two form descriptions from which the settings pages are drawn', async () => {
  await get(`${V}/settings/agent-schema`, { keep: 200_000 });
  await get(`${V}/settings/conversation-schema`, { keep: 200_000 });
});
scenario(70, 'git', 'Git routes for a user without any provider token', async () => {
  for (const q of [
    'installations/search?provider=github',
    'repositories/search?provider=github',
    'repositories/search',
    'branches/search?provider=github&repository=o/r&query=',
    'suggested-tasks/search',
    'branches/search',
  ])
    await get(`${V}/git/${q}`);
  await post(`${V}/secrets/git-providers`, { provider_tokens: {} });
  await call('DELETE', `${V}/secrets/git-providers`);
  await post(`${V}/secrets/git-providers`, { provider_tokens: { nonsense: { token: 'x' } } });
});
scenario(90, 'config-models', 'Model and provider lists of the settings forms', async () => {
  for (const q of [
    'providers/search?limit=3',
    'providers/search?verified__eq=true&limit=2',
    'providers/search?query=anthro',
    'models/search?limit=2',
    'models/search?provider__eq=openhands&limit=3',
    'models/search?query=sonnet&verified__eq=true&limit=2',
    'models/search?limit=101',
    'providers/search?limit=100',
  ])
    await get(`${V}/config/${q}`);
});
scenario(100, 'skills', 'Skill list and marketplace preview', async () => {
  await get(`${V}/skills/search?limit=2`);
  await post(`${V}/skills/marketplace-skills`, []);
});
scenario(110, 'sandbox-specs', 'What kinds of sandbox there are', async () => {
  await get(`${V}/sandbox-specs/search`);
  await get(`${V}/sandbox-specs?id=none`);
  await get(`${V}/sandbox-specs`);
});
scenario(120, 'conversations-empty', 'Lists before the first conversation, and refusals of the lists', async () => {
  for (const q of [
    'search?limit=20',
    'count',
    'start-tasks/search?limit=10',
    'start-tasks/count',
    'search?limit=0',
    'search?limit=101',
    'search?page_id=nonsense',
  ])
    await get(`${V}/app-conversations/${q}`);
  await get(`${V}/app-conversations?ids=${'0'.repeat(32)}`);
  await get(`${V}/app-conversations?ids=nonsense`);
  await get(`${V}/app-conversations`);
  await get(
    `${V}/app-conversations?${Array.from({ length: 100 }, (_, i) => `ids=${String(i).padStart(32, '0')}`).join('&')}`,
  );
  await get(`${V}/app-conversations/start-tasks?ids=${'0'.repeat(32)}`);
  await get(`${V}/sandboxes/search`);
  await get(`${V}/sandboxes?id=none`);
});
scenario(
  130,
  'start',
  'POST answers at once with a WORKING task; the task is polled until READY; then the conversation is there',
  async () => {
    const task = (
      await post(`${V}/app-conversations`, {
        initial_message: { ...say('[[basic]] please make the files'), run: true },
        title: 'Golden',
        trigger: 'gui',
      })
    ).body;
    let last = task.status;
    for (let i = 0; i < 300; i++) {
      const now = (await get(`${V}/app-conversations/start-tasks?ids=${task.id}`, { quiet: true })).body[0];
      if (now.status !== last && now.status === 'READY')
        record({
          request: { method: 'GET', path: `${V}/app-conversations/start-tasks?ids=${task.id}` },
          response: { status: 200, type: 'application/json', body: [now] },
        });
      last = now.status;
      if (last === 'READY' || last === 'ERROR') {
        state.id = now.app_conversation_id;
        break;
      }
      await sleep(150);
    }
    await get(`${V}/app-conversations/start-tasks/search?limit=10`);
    await get(`${V}/app-conversations/start-tasks/search?conversation_id__eq=${state.id}`);
    await until(state.id, (c) => c.execution_status === 'finished');
    const c = (await get(`${V}/app-conversations?ids=${state.id}`)).body[0];
    state.sandbox = c.sandbox_id;
    state.key = c.session_api_key;
    await get(`${V}/app-conversations/search?limit=20`);
    await get(`${V}/app-conversations/search?title__contains=old`);
    await get(`${V}/app-conversations/search?sandbox_id__eq=${state.sandbox}`);
    await get(`${V}/app-conversations/count`);
  },
);
scenario(150, 'conversation-update', 'Rename and publish; refusals', async () => {
  const at = `${V}/app-conversations`;
  await call('PATCH', `${at}/${state.id}`, { title: 'Renamed' });
  await call('PATCH', `${at}/${state.id}`, { public: true });
  await call('PATCH', `${at}/${state.id}`, {});
  await call('PATCH', `${at}/${'0'.repeat(32)}`, { title: 'x' });
  await call('PATCH', `${at}/nonsense`, { title: 'x' });
  await call('PATCH', `${at}/${state.id}`, { title: 5 });
});
scenario(160, 'conversation-inside', 'Routes which the app server answers by asking the sandbox', async () => {
  const at = `${V}/app-conversations/${state.id}`;
  await get(`${at}/skills`);
  await get(`${at}/hooks`);
  await get(`${at}/git/changes?path=/workspace/project`);
  await get(`${at}/git/changes`);
  await get(`${at}/git/diff?path=/workspace/project/notes.md`);
  await get(`${at}/git/changes?path=/none`);
  await get(`${at}/file`);
  await get(`${at}/file?file_path=/workspace/project/hello.txt`);
  await get(`${at}/download`);
  await get(`${V}/app-conversations/${'0'.repeat(32)}/skills`);
  await get(`${V}/app-conversations/${'0'.repeat(32)}/download`);
  await get(`${V}/app-conversations/${'0'.repeat(32)}/file`);
});
scenario(
  170,
  'send-message',
  'Messages through the app server and messages kept for a conversation that is not there yet',
  async () => {
    const at = `${V}/app-conversations`;
    await post(
      `${V}/settings/profiles/first`,
      { include_secrets: true, preserve_existing_api_key: false },
      { quiet: true },
    );
    await post(`${at}/${state.id}/send-message`, { ...say('[[think]] again'), run: true });
    await post(`${at}/${state.id}/send-message`, { role: 'user', content: [] });
    await post(`${at}/${state.id}/send-message`, { role: 'assistant', content: [{ type: 'text', text: 'x' }] });
    await post(`${at}/${'0'.repeat(32)}/send-message`, say('x'));
    await post(`${at}/${state.id}/switch_profile`, { profile_name: 'none' });
    await post(`${at}/${state.id}/switch_profile`, { profile_name: 'first' });
    await post(`${at}/${state.id}/switch_acp_model`, { model: 'x' });
    await post(`${V}/conversations/task-${'1'.repeat(32)}/pending-messages`, say('kept'));
    await post(`${V}/conversations/task-${'1'.repeat(32)}/pending-messages`, { content: [] });
    await post(`${V}/conversations/${'2'.repeat(32)}/pending-messages`, say('kept too'));
    for (let i = 0; i < 10; i++)
      await post(`${V}/conversations/task-${'3'.repeat(32)}/pending-messages`, say(`kept ${i}`), { quiet: i < 9 });
    await post(`${V}/conversations/task-${'3'.repeat(32)}/pending-messages`, say('one too many'));
  },
);
scenario(180, 'sandboxes', 'The sandbox of a running conversation, and what its own key opens', async () => {
  const at = `${V}/sandboxes`;
  await get(`${at}/search`);
  await get(`${at}?id=${state.sandbox}&id=none`);
  await get(at);
  await get(`${at}/${state.sandbox}/settings/secrets`);
  await get(`${at}/${state.sandbox}/settings/secrets`, { headers: { 'X-Session-API-Key': 'wrong' } });
  await get(`${at}/${state.sandbox}/settings/secrets`, { headers: { 'X-Session-API-Key': state.key } });
  await get(`${at}/other/settings/secrets`, { headers: { 'X-Session-API-Key': state.key } });
  await get(`${at}/${state.sandbox}/settings/secrets/NONE`, { headers: { 'X-Session-API-Key': state.key } });
  await post(`${at}/none/pause`);
  await post(`${at}/none/resume`);
  await call('DELETE', `${at}/none`);
  await call('DELETE', `${at}/none?sandbox_id=none`);
});
scenario(210, 'stream-start', 'The same start as one streamed JSON array of task states', async () => {
  const t0 = Date.now();
  const answer = await fetch(`${base}${V}/app-conversations/stream-start`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ title: 'Streamed' }),
  });
  const chunks = [];
  for await (const chunk of answer.body) chunks.push(Buffer.from(chunk).toString());
  const body = JSON.parse(chunks.join(''));
  record({
    request: { method: 'POST', path: `${V}/app-conversations/stream-start`, body: { title: 'Streamed' } },
    response: {
      status: answer.status,
      type: answer.headers.get('content-type'),
      chunkStarts: chunks.map((c) => c.slice(0, 8)),
      body,
    },
  });
  console.log(`   stream-start took ${Date.now() - t0} ms: ${body.map((t) => t.status)}`);
});
scenario(
  240,
  'settings-bad-enum',
  'A defect of the real server: a wrong enum value is stored with 200 and every later read of the settings is a 500',
  async () => {
    await post(`${V}/settings`, { sandbox_grouping_strategy: 'NONSENSE' });
    await get(`${V}/settings`);
    await get(`${V}/users/me`);
    await get(`${V}/settings/profiles`);
    await post(`${V}/settings`, { sandbox_grouping_strategy: 'NO_GROUPING' });
  },
);

// ---- comparison ----

const PROSE = new Set([
  'detail',
  'msg',
  'message',
  'error',
  'description',
  'title',
  'why',
  'content',
  'text',
  'summary',
  'help',
  'label',
]);
const ENUM =
  /^(status|.*_status|kind|source|role|trigger|type|name|provider|sort_order|deployment_mode|.*_kind|auth_type)$/;
const unnumbered = (text) => text.replace(/<(uuid|hex|base62):\d+>/g, '<$1>');

/** Differences that a client could notice (`bad`) and those that only a reader would (`notes`). */
function compare(want, got, at, out) {
  const bad = (text) => out.bad.push(`${at}: ${text}`);
  const show = (value) => JSON.stringify(value)?.slice(0, 100) ?? 'nothing';
  const field = at.match(/([^.[\]]+)(\[\d+\])*$/)?.[1] ?? '';
  if (typeof want === 'string') {
    if (typeof got !== 'string') return bad(`expected a string like ${show(want)}, got ${show(got)}`);
    if (want.endsWith('<cut>') || unnumbered(want) === unnumbered(got)) return;
    const shaped =
      /<(uuid|hex|time)[^>]*>/.test(want) &&
      unnumbered(want).replace(/[^<>a-zA-Z]/g, '') !== unnumbered(got).replace(/[^<>a-zA-Z]/g, '');
    return shaped || (ENUM.test(field) && !PROSE.has(field))
      ? bad(`expected ${show(want)}, got ${show(got)}`)
      : out.notes.push(`${at}: ${show(want)} there, ${show(got)} here`);
  }
  if (want === null || typeof want !== 'object') {
    if (want === null ? got !== null : typeof want !== typeof got)
      return bad(`expected ${show(want)}, got ${show(got)}`);
    if (want !== got)
      (typeof want === 'boolean' || /count|limit|status/.test(field)
        ? bad
        : (text) => out.notes.push(`${at}: ${text}`))(`${show(want)} there, ${show(got)} here`);
    return;
  }
  if (Array.isArray(want)) {
    if (!Array.isArray(got)) return bad(`expected a list, got ${show(got)}`);
    const more = typeof want.at(-1) === 'string' && /^<\d+ more of the same shape>$/.test(want.at(-1));
    const known = more ? want.slice(0, -1) : want;
    if (more ? got.length < known.length : got.length !== known.length)
      bad(`${known.length}${more ? ' or more' : ''} items there, ${got.length} here`);
    return known.forEach((item, i) => {
      if (i < got.length) compare(item, got[i], `${at}[${i}]`, out);
    });
  }
  if (got === null || typeof got !== 'object' || Array.isArray(got)) return bad(`expected an object, got ${show(got)}`);
  for (const key of Object.keys(want))
    key in got ? compare(want[key], got[key], `${at}.${key}`, out) : bad(`key ${key} is missing`);
  for (const key of Object.keys(got))
    if (!(key in want)) (opt['allow-extra'] ? out.notes : out.bad).push(`${at}: key ${key} is not in the recording`);
}

/** An error without the members of RFC 9457 that stand beside the recorded ones. */
function withoutProblem({ status, body }) {
  if (status < 400 || !String(body?.type).startsWith('urn:sandlot:error:')) return body;
  const { type, title, status: _, instance, ...rest } = body;
  return rest;
}

function compareExchange(want, got, at, out) {
  if (!got) return out.bad.push(`${at}: not reached`);
  if (want.response.status !== got.response.status)
    return out.bad.push(
      `${at}: status ${want.response.status} there, ${got.response.status} here: ${JSON.stringify(got.response.body)?.slice(0, 160)}`,
    );
  const mime = (type) => type?.split(';')[0];
  if (mime(want.response.type) !== mime(got.response.type))
    out.bad.push(`${at}: ${want.response.type} there, ${got.response.type} here`);
  if (want.response.retryAfter && !got.response.retryAfter) out.bad.push(`${at}: Retry-After is missing`);
  if (want.response.status === 422 && Array.isArray(want.response.body?.detail))
    return (
      (Array.isArray(got.response.body?.detail) && got.response.body.detail.every((one) => one.loc && one.msg)) ||
      out.bad.push(`${at}: a 422 lists {loc, msg, type} in detail`)
    );
  compare(
    want.response.body,
    opt['problem-fields'] ? withoutProblem(got.response) : got.response.body,
    `${at} body`,
    out,
  );
}

export async function run() {
  let agreed = 0,
    intended = 0,
    all = 0,
    passed = 0,
    failed = 0;
  for (const { name, why, play, dir } of scenarios.sort((a, b) => a.at - b.at)) {
    exchanges = [];
    names = new Map();
    let broke;
    try {
      await play();
    } catch (error) {
      broke = error.message;
    }
    if (opt.only && !opt.only.some((part) => name.includes(part))) continue;
    const seen = normal(exchanges),
      file = path.join(opt.update ? path.join(opt.update, path.basename(dir)) : dir, `${name}.json`);
    if (opt.update) {
      fs.mkdirSync(path.dirname(file), { recursive: true });
      fs.writeFileSync(file, JSON.stringify({ why, exchanges: seen }, null, 1) + '\n');
      console.log(
        `recorded ${name}: ${seen.map((one) => one.response.status).join(' ')}${broke ? `, then ${broke}` : ''}`,
      );
      continue;
    }
    const golden = JSON.parse(fs.readFileSync(file, 'utf8')).exchanges;
    const out = { bad: broke ? [`${name}: ${broke}`] : [], notes: [] };
    golden.forEach((want, i) => {
      const before = out.bad.length;
      compareExchange(
        want,
        seen[i] && JSON.parse(JSON.stringify(seen[i])),
        `${name} › ${i + 1} ${want.request.method} ${want.request.path}`,
        out,
      );
      const differs = out.bad.length > before;
      const name_ = `${name} › ${i + 1}`;
      if (!better.has(name_)) {
        if (!differs) agreed++;
        return;
      }
      intended++;
      if (differs) out.notes.push(...out.bad.splice(before).map((line) => `on purpose: ${line}`));
      else out.bad.push(`${name_}: agrees; take it off the list of ${opt.better}`);
    });
    all += golden.length;
    out.bad.length ? failed++ : passed++;
    console.log(
      `${out.bad.length ? 'FAIL' : 'ok  '} ${name} (${golden.length} exchanges${out.notes.length ? `, ${out.notes.length} notes` : ''})`,
    );
    for (const line of out.bad.slice(0, opt.verbose ? 1e9 : 12)) console.log(`     ${line}`);
    if (opt.verbose) for (const line of out.notes) console.log(`     note ${line}`);
  }
  if (!opt.update)
    console.log(
      `${agreed} of ${all} exchanges agree${intended ? `, ${intended} differ on purpose` : ''}\n${passed} passed, ${failed} failed`,
    );
  process.exitCode = failed ? 1 : 0;
}
if (import.meta.url === pathToFileURL(process.argv[1]).href) await run();
