/** Saved models, and going on with another one: what reaches the model, the statistics, and what a restart keeps. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { startModel } from './agent/testing/model.js';
import { caller, folder, says, startHere, statusOf, until, type Call } from './testing/server.js';

const MASK = '**********';

async function model(t: Test) {
  const started = await startModel();
  t.teardown(() => started.close());
  started.script({ text: 'Done.' });
  const llm = (name: string, key: string | null = `key-of-${name}-123`) => ({
    model: `openai/${name}`,
    api_key: key,
    base_url: started.url,
    num_retries: 0,
  });
  return { ...started, llm, last: () => started.requests.at(-1) };
}

async function server(t: Test, dir = folder(t)) {
  const started = await startHere(dir);
  let closed = false;
  const close = async () => {
    if (!closed) await started.close();
    closed = true;
  };
  t.teardown(close);
  return { dir, call: caller(started.url), close };
}

async function conversation(call: Call, llm: Record<string, unknown>, more: Record<string, unknown> = {}) {
  const made = await call('POST', '/api/conversations', {
    agent: {
      llm: { ...llm, usage_id: 'agent' },
      condenser: { kind: 'LLMSummarizingCondenser', llm: { ...llm, usage_id: 'condenser' } },
      ...(more['agent'] as object | undefined),
    },
    workspace: { working_dir: '/workspace/project/test' },
    autotitle: false,
  });
  return (made.body as { id: string }).id;
}

async function ask(call: Call, id: string): Promise<void> {
  const asked = await call('POST', `/api/conversations/${id}/events`, says('go on'));
  if (asked.status !== 200) throw new Error(JSON.stringify(asked.body));
  await until(
    () => statusOf(call, id),
    (status) => status === 'finished' || status === 'error',
  );
}

t.test("profiles: saved, shown without keys, renamed, made the settings' model, gone", async (t) => {
  const { call, dir } = await server(t);
  const fast = { model: 'openai/fast', api_key: 'the-secret-key-1', extra_headers: { 'x-org': 'the-header' } };
  t.match(await call('POST', '/api/profiles/fast', { llm: fast }), { status: 201, body: { name: 'fast' } });
  t.equal((await call('POST', '/api/profiles/keyless', { llm: fast, include_secrets: false })).status, 201);
  const summary = { base_url: null, provider_connection_id: null, provider_connection_broken: false };
  t.same((await call('GET', '/api/profiles')).body, {
    profiles: [
      { name: 'fast', model: 'openai/fast', ...summary, api_key_set: true },
      { name: 'keyless', model: 'openai/fast', ...summary, api_key_set: false },
    ],
    active_profile: null,
  });
  t.match(await call('GET', '/api/profiles/fast'), {
    status: 200,
    body: { name: 'fast', config: { api_key: null, extra_headers: { 'x-org': MASK } }, api_key_set: true },
  });
  const plain = () => call('GET', '/api/profiles/fast', undefined, { 'x-expose-secrets': 'plaintext' });
  t.match((await plain()).body, { config: { api_key: 'the-secret-key-1' } });

  const back = { ...fast, model: 'openai/faster', api_key: MASK, extra_headers: { 'x-org': MASK } };
  await call('POST', '/api/profiles/fast', { llm: back });
  t.match((await plain()).body, {
    config: { model: 'openai/faster', api_key: 'the-secret-key-1', extra_headers: { 'x-org': 'the-header' } },
  });

  t.match(await call('POST', '/api/profiles/fast/activate'), { status: 200, body: { llm_applied: true } });
  const settings = (await call('GET', '/api/settings')).body;
  t.match(settings, { active_profile: 'fast', agent_settings: { llm: { model: 'openai/faster', api_key: MASK } } });
  t.equal((await call('POST', '/api/profiles/fast/rename', { new_name: 'keyless' })).status, 409);
  t.equal((await call('POST', '/api/profiles/none/rename', { new_name: 'other' })).status, 404);
  t.match(await call('POST', '/api/profiles/fast/rename', { new_name: 'quick' }), { body: { name: 'quick' } });
  t.match((await call('GET', '/api/profiles')).body, { active_profile: 'quick' }, 'the active one keeps being it');
  t.equal((await call('DELETE', '/api/profiles/quick')).status, 200);
  t.equal((await call('DELETE', '/api/profiles/quick')).status, 200, 'gone is gone');
  t.match((await call('GET', '/api/profiles')).body, { active_profile: null, profiles: [{ name: 'keyless' }] });

  t.equal((await call('GET', '/api/profiles/constructor')).status, 404);
  t.equal((await call('POST', '/api/profiles/none/activate')).status, 404);
  for (const name of ['.hidden', 'a%20b', '%C3%A4', 'a'.repeat(65)])
    t.match(await call('POST', `/api/profiles/${name}`, { llm: fast }), {
      status: 422,
      body: { detail: [{ type: 'string_pattern_mismatch', loc: ['path', 'name'] }] },
    });
  t.equal((await call('POST', '/api/profiles/keyless/rename', { new_name: '../x' })).status, 422);
  for (let n = 0; n < 49; n++) await call('POST', `/api/profiles/p${n}`, { llm: fast });
  t.equal((await call('POST', '/api/profiles/one-more', { llm: fast })).status, 409);
  t.equal((await call('POST', '/api/profiles/p1', { llm: fast })).status, 201, 'one that is there may change');
  for (const name of readdirSync(dir, { recursive: true, withFileTypes: true }))
    if (name.isFile()) t.notMatch(readFileSync(join(name.parentPath, name.name), 'latin1'), /the-secret-key-1/);
});

t.test('a profile is tried before it is saved', async (t) => {
  const { call } = await server(t);
  const remote = await model(t);
  const validate = (llm: object) => call('POST', '/api/profiles/new/validate', { llm });
  t.same((await validate(remote.llm('one'))).body, { valid: true, error: null });
  remote.script({ error: { status: 401, message: 'no such key' } });
  t.match((await validate(remote.llm('one'))).body, { valid: false, error: { type: 'LLMAuthenticationError' } });
  remote.script({ error: { status: 404, message: 'key-of-one-123 may not use the model' } });
  const refused = (await validate(remote.llm('one'))).body as { error: { type: string; message: string } };
  t.equal(refused.error.type, 'NotFoundError');
  t.notMatch(refused.error.message, /key-of-one/);
  remote.script({ error: { status: 429, message: 'slow down' } });
  t.same((await validate(remote.llm('one'))).body, { valid: true, error: null }, 'limits pass');
});

t.test('another model from the next call on: key, condenser, statistics, after a restart too', async (t) => {
  const remote = await model(t);
  const first = await server(t);
  const id = await conversation(first.call, remote.llm('one'));
  await first.call('POST', '/api/profiles/two', { llm: remote.llm('two') });
  await ask(first.call, id);
  t.match(remote.last(), { model: 'one', authorization: 'Bearer key-of-one-123' });

  const base = `/api/conversations/${id}`;
  t.same((await first.call('POST', `${base}/switch_profile`, { profile_name: 'none' })).status, 404);
  t.same((await first.call('POST', `${base}/switch_profile`, {})).status, 422);
  t.same((await first.call('POST', `${base}/switch_profile`, { profile_name: 'two' })).body, { success: true });
  await ask(first.call, id);
  t.match(remote.last(), { model: 'two', authorization: 'Bearer key-of-two-123' });
  await first.close();

  const { call } = await server(t, first.dir);
  await ask(call, id);
  t.match(remote.last(), { model: 'two', authorization: 'Bearer key-of-two-123' }, 'a restart keeps it');
  const masked = { ...remote.llm('three', MASK), usage_id: 'mine' };
  t.same((await call('POST', `${base}/switch_llm`, { llm: masked })).status, 200);
  await ask(call, id);
  t.match(remote.last(), { model: 'three', authorization: 'Bearer key-of-two-123' }, 'the mask means the key before');

  const info = (await call('GET', base)).body as {
    agent: { llm: Record<string, unknown>; condenser: { llm: Record<string, unknown> } };
    stats: { usage_to_metrics: Record<string, { model_name: string; token_usages: unknown[] }> };
  };
  t.match(info.agent.condenser.llm, { model: 'openai/three', usage_id: 'condenser', api_key: null });
  const used = Object.entries(info.stats.usage_to_metrics).map(([usage, of]) => [
    usage,
    of.model_name,
    of.token_usages.length,
  ]);
  t.same(used, [
    ['agent', 'openai/one', 1],
    ['profile:two', 'openai/two', 2],
    ['mine', 'openai/three', 1],
  ]);
  const told = (await call('GET', `${base}/events/search?kind=ConversationStateUpdateEvent&limit=100`)).body as {
    items: { key: string; value: { llm: { model: string; api_key: string } } }[];
  };
  const switches = told.items
    .filter(({ key }) => key === 'agent')
    .map(({ value }) => [value.llm.model, value.llm.api_key]);
  t.same(switches, [
    ['openai/two', MASK],
    ['openai/three', MASK],
  ]);
});

t.test('in the middle of a run, by the agent itself', async (t) => {
  const { call } = await server(t);
  const remote = await model(t);
  await call('POST', '/api/profiles/two', { llm: remote.llm('two') });
  const id = await conversation(call, remote.llm('one'), {
    agent: { include_default_tools: ['FinishTool', 'SwitchLLMTool'] },
  });
  const use = (name: string) => ({
    calls: [{ tool: 'switch_llm', args: { profile_name: name, reason: 'it knows more' } }],
  });
  remote.script(use('none'), use('two'), { text: 'Done.' });
  await ask(call, id);
  t.same(
    remote.requests.map((request) => request['model']),
    ['one', 'one', 'two'],
  );
  const events = (await call('GET', `/api/conversations/${id}/events/search?kind=ObservationEvent`)).body;
  t.match(events, {
    items: [
      {
        observation: {
          kind: 'SwitchLLMObservation',
          is_error: true,
          content: [{ text: /no LLM profile 'none'.*two/ }],
        },
      },
      { observation: { is_error: false, profile_name: 'two', active_model: 'openai/two', reason: 'it knows more' } },
    ],
  });
});

t.test('settings that come back masked start a conversation with their key', async (t) => {
  const { call } = await server(t);
  const remote = await model(t);
  await call('PATCH', '/api/settings', { agent_settings_diff: { llm: remote.llm('one') } });
  const { agent_settings } = (await call('GET', '/api/settings')).body as { agent_settings: { llm: object } };
  t.match(agent_settings, { llm: { api_key: MASK } });
  const made = await call('POST', '/api/conversations', {
    agent_settings,
    workspace: { working_dir: '/workspace/project/test' },
    autotitle: false,
  });
  await ask(call, (made.body as { id: string }).id);
  t.match(remote.last(), { model: 'one', authorization: 'Bearer key-of-one-123' });
});

t.test('saved models are offered to clients of OpenAI', async (t) => {
  const { call } = await server(t);
  const remote = await model(t);
  await call('POST', '/api/profiles/one', { llm: remote.llm('one') });
  t.match((await call('GET', '/v1/models')).body, { data: [{ id: 'openhands_one', object: 'model' }] });
  const chat = (more: object, headers = {}) =>
    call('POST', '/v1/chat/completions', { model: 'openhands_one', ...more }, headers);
  const messages = [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: [{ type: 'text', text: 'What is it?' }] },
  ];
  const answer = await chat({ messages });
  t.match(answer, {
    status: 200,
    body: {
      object: 'chat.completion',
      model: 'openhands_one',
      choices: [{ finish_reason: 'stop', message: { role: 'assistant', content: 'Done.' } }],
      usage: { prompt_tokens: 100, completion_tokens: 10, total_tokens: 110 },
    },
  });
  t.match(JSON.stringify(remote.last()?.messages), /Be brief\..*What is it\?/);
  const id = answer.headers.get('x-openhands-serverconversation-id') ?? '';
  const streamed = await chat({ messages, stream: true }, { 'x-openhands-serverconversation-id': id });
  t.match(String(streamed.body), /"role":"assistant".*\n\n.*"content":"Done\.".*\n\n.*"stop".*\n\ndata: \[DONE\]\n\n$/);
  t.equal(streamed.headers.get('x-openhands-serverconversation-id'), id);
  t.equal(remote.last()?.messages.filter(({ role }) => role === 'user').length, 2, 'the same conversation');
  t.equal((await chat({ messages: [] })).status, 400);
  t.equal((await chat({ model: 'openhands_none', messages })).status, 404);
  t.equal((await chat({ model: 'one', messages })).status, 404);
  remote.script({ error: { status: 401, message: 'no' } });
  t.match(await chat({ messages }), { status: 500, body: { exception: /status: error/ } });
});
