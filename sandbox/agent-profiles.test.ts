/** Agent profiles: kept by name and id, one always active, and what a conversation that names one is made of. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { startModel } from './agent/testing/model.js';
import { caller, folder, says, startHere, statusOf, until, type Call } from './testing/server.js';

const AT = '/api/agent-profiles';

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

interface Listed {
  profiles: { id: string; name: string; revision: number; llm_profile_ref: string }[];
  active_agent_profile_id: string;
}
const list = async (call: Call) => (await call('GET', AT)).body as Listed;
const saveModel = (call: Call, name: string, llm: object) => call('POST', `/api/profiles/${name}`, { llm });

t.test('one is always active: default, made from the settings', async (t) => {
  const { call, dir, close } = await server(t);
  const llm = { model: 'openai/mine', api_key: 'the-secret-key-1' };
  await call('PATCH', '/api/settings', { agent_settings_diff: { llm } });
  const first = await list(call);
  t.match(first.profiles, [{ name: 'default', agent_kind: 'openhands', revision: 0, llm_profile_ref: 'default' }]);
  t.equal(first.active_agent_profile_id, first.profiles[0]?.id);
  t.same(await list(call), first, 'once');
  t.match((await call('GET', '/api/settings')).body, { active_agent_profile_id: first.active_agent_profile_id });
  t.match((await call('GET', '/api/profiles/default')).body, { config: { model: 'openai/mine' }, api_key_set: true });
  t.match((await call('POST', `${AT}/default/materialize`)).body, {
    valid: true,
    llm_api_key_set: true,
    resolved_settings: { llm: { model: 'openai/mine', api_key: null } },
  });
  await close();
  const again = await server(t, dir);
  t.same(await list(again.call), first, 'a restart keeps it');
  t.equal((await again.call('DELETE', `${AT}/default`)).status, 200);
  const next = await list(again.call);
  t.match(next.profiles, [{ name: 'default' }]);
  t.not(next.active_agent_profile_id, first.active_agent_profile_id);
  for (const file of readdirSync(dir, { recursive: true, withFileTypes: true }))
    if (file.isFile()) t.notMatch(readFileSync(join(file.parentPath, file.name), 'latin1'), /the-secret-key-1/);
});

t.test('without a configured model, default refers to one that is not there yet, and says so', async (t) => {
  const { call } = await server(t);
  const { profiles } = await list(call);
  t.match((await call('GET', '/api/profiles')).body, { profiles: [] }, 'no model that nobody asked for');
  const told = (await call('POST', `${AT}/default/materialize`)).body;
  t.match(told, { valid: false, llm_profile_resolved: false, resolved_settings: null });
  t.match(told, { errors: ["LLM profile 'default' not found"] });
  const start = { agent_profile_id: profiles[0]?.id, workspace: { working_dir: '/workspace/project' } };
  const made = await call('POST', '/api/conversations', start);
  t.match(made, { status: 422, body: { detail: /'default' cannot be used: LLM profile 'default' not found/ } });
});

t.test('saved, shown, renamed, activated, gone', async (t) => {
  const { call } = await server(t);
  await saveModel(call, 'fast', { model: 'openai/fast', api_key: 'k' });
  const body = { llm_profile_ref: 'fast', tools: [{ name: 'terminal' }], id: 'mine', revision: 7 };
  t.match(await call('POST', `${AT}/work`, body), { status: 201, body: { name: 'work' } });
  const { profile } = (await call('GET', `${AT}/work`)).body as { profile: Record<string, unknown> };
  t.match(profile, {
    name: 'work',
    revision: 0,
    schema_version: 4,
    agent_kind: 'openhands',
    tools: [{ name: 'terminal', params: {} }],
    condenser: { condenser_kind: 'llm_summarizing', enabled: true, max_size: 240 },
    verification: { critic_enabled: false },
    mcp_server_refs: null,
    secret_refs: null,
  });
  t.not(profile['id'], 'mine', 'ids are the server’s');
  t.equal((await call('POST', `${AT}/work`, profile)).status, 201, 'what was read may be sent back');
  t.match((await call('GET', `${AT}/work`)).body, { profile: { id: profile['id'], revision: 1 } });

  t.equal((await call('POST', `${AT}/work/rename`, { new_name: 'play' })).status, 200);
  t.equal((await call('POST', `${AT}/work/rename`, { new_name: 'x' })).status, 404);
  await call('POST', `${AT}/other`, { llm_profile_ref: 'fast' });
  t.equal((await call('POST', `${AT}/other/rename`, { new_name: 'play' })).status, 409);
  const id = String(profile['id']);
  t.match(await call('POST', `${AT}/${id}/activate`), { status: 200, body: { id, agent_settings_applied: false } });
  t.equal((await call('POST', `${AT}/nobody/activate`)).status, 404);
  t.equal((await list(call)).active_agent_profile_id, id);

  t.match(await call('DELETE', '/api/profiles/fast'), { status: 409, body: { detail: /play, other/ } });
  await call('POST', '/api/profiles/fast/rename', { new_name: 'quick' });
  t.match((await call('GET', `${AT}/play`)).body, { profile: { llm_profile_ref: 'quick' } });
  for (const gone of ['play', 'play', 'other']) t.equal((await call('DELETE', `${AT}/${gone}`)).status, 200);
  t.match((await list(call)).profiles, [{ name: 'default' }]);

  t.match(await call('POST', `${AT}/bad`, {}), {
    status: 422,
    body: { detail: [{ loc: ['body', 'llm_profile_ref'] }] },
  });
  t.equal((await call('POST', `${AT}/bad`, { llm_profile_ref: 'x', api_key: 'no' })).status, 422);
  t.match(await call('POST', `${AT}/bad`, { agent_kind: 'acp', llm_profile_ref: 'x' }), { status: 422 });
  t.equal((await call('POST', `${AT}/.hidden`, { llm_profile_ref: 'x' })).status, 422);
  t.equal((await call('GET', `${AT}/none`)).status, 404);
  for (let n = 0; n < 49; n++) await call('POST', `${AT}/p${n}`, { llm_profile_ref: 'x' });
  t.equal((await call('POST', `${AT}/one-more`, { llm_profile_ref: 'x' })).status, 409);
});

t.test('a conversation of a profile: its model, tools, secrets and servers, and what it remembers', async (t) => {
  const remote = await startModel();
  t.teardown(() => remote.close());
  remote.script({ text: 'Done.' });
  const { call } = await server(t);
  await saveModel(call, 'one', { model: 'openai/one', api_key: 'key-of-one-123', base_url: remote.url });
  for (const name of ['SEEN', 'HIDDEN'])
    await call('PUT', '/api/settings/secrets', { name, value: `the-value-of-${name}` });
  await call('POST', `${AT}/work`, {
    llm_profile_ref: 'one',
    tools: [{ name: 'terminal' }],
    secret_refs: ['SEEN', 'SENT'],
    system_message_suffix: 'Speak softly.',
    condenser: { enabled: false },
  });
  const id = (await list(call)).profiles.find(({ name }) => name === 'work')?.id;
  const start = (more: object) =>
    call('POST', '/api/conversations', {
      agent_profile_id: id,
      workspace: { working_dir: '/workspace/project/test' },
      autotitle: false,
      ...more,
    });
  const secret = (value: string) => ({ kind: 'StaticSecret', value });
  const made = await start({
    secrets: { SENT: secret('sent-value'), NOT_LISTED: secret('other-value') },
    agent_launch_additions: { system_message_suffix_append: 'It is Monday.' },
  });
  t.match(made, {
    status: 201,
    body: {
      launched_agent_profile: { agent_profile_id: id, revision: 0, secret_refs: ['SEEN', 'SENT'] },
      agent: {
        llm: { model: 'openai/one', api_key: null, usage_id: 'agent' },
        tools: [{ name: 'terminal' }],
        condenser: null,
      },
    },
  });
  const conversation = `/api/conversations/${(made.body as { id: string }).id}`;
  await call('POST', `${conversation}/secrets`, { secrets: { LATER: 'later-value' } });
  const info = (await call('GET', conversation)).body as { secret_registry: { secret_sources: object } };
  t.same(Object.keys(info.secret_registry.secret_sources).sort(), ['SEEN', 'SENT'], 'no others, later either');

  await call('POST', `${conversation}/events`, says('go on'));
  await until(
    () => statusOf(call, conversation.split('/').at(-1) ?? ''),
    (status) => status === 'finished' || status === 'error',
  );
  t.match(remote.requests.at(-1), { model: 'one', authorization: 'Bearer key-of-one-123' });
  t.match(JSON.stringify(remote.requests.at(-1)?.messages), /Speak softly\.\\n\\nIt is Monday\./);

  t.equal((await start({ agent_profile_id: '3f1c1b7e-0000-4000-8000-000000000001' })).status, 404);
  t.match(await start({ agent_settings: { llm: { model: 'openai/x' } } }), {
    status: 422,
    body: { detail: /one of them/ },
  });
  t.match(await start({ agent_launch_additions: { llm_profile_ref: 'none' } }), { status: 422 });
  await call('POST', `${AT}/work`, { llm_profile_ref: 'one', mcp_server_refs: ['gone'] });
  t.match(await start({}), { status: 422, body: { detail: /MCP server 'gone' not found/ } });
});
