/** Agent profiles: saved, renamed, activated, deleted, and what a conversation of one is started with. Only the agent is a stand-in. */
import t from 'tap';
import { conversationDashed } from '../../contracts/names.js';
import { openTestDatabase, operatorHand, startRig } from '../support/api-rig.js';
import { endSuite, startCluster } from '../support/cluster.js';
import { startsOf, V1 } from '../support/starts.js';

const AT = '/api/agent-profiles';
const cluster = await startCluster();
const db = await openTestDatabase();
const { converse, conversationOf } = startsOf(operatorHand(cluster.client, cluster.namespace));
const rig = await startRig(cluster, db);

interface List {
  profiles: { id: string; name: string; revision: number; llm_profile_ref: string }[];
  active_agent_profile_id: string | null;
}
const list = async () => (await rig.call<List>('GET', AT)).body;
const save = (name: string, body: object) => rig.call('POST', `${AT}/${name}`, body);
const idOf = async (name: string) => (await list()).profiles.find((one) => one.name === name)?.id ?? '';
const server = (command: string) => ({ command, args: [] });

await rig.call('POST', `${V1}/settings`, {
  agent_settings_diff: {
    llm: { model: 'openai/usual', api_key: 'sk-usual' },
    mcp_config: { docs: server('docs'), mail: server('mail') },
  },
});
await rig.call('POST', `${V1}/settings/profiles/small`, { llm: { model: 'openai/small', api_key: 'sk-small' } });
for (const name of ['WANTED', 'UNWANTED']) await rig.call('POST', `${V1}/secrets`, { name, value: `value-${name}` });

t.test('saved by name, activated by id, renamed, deleted', async (t) => {
  t.same(await list(), { profiles: [], active_agent_profile_id: null });
  t.match(await save('reviewer', { agent_kind: 'openhands', llm_profile_ref: 'small' }), {
    status: 201,
    body: { name: 'reviewer', message: "Agent profile 'reviewer' saved" },
  });
  const id = await idOf('reviewer');
  const shown = (await rig.call<{ profile: object }>('GET', `${AT}/reviewer`)).body.profile;
  t.match(shown, { id, revision: 0, agent: 'CodeActAgent', skills: [], mcp_server_refs: null, secret_refs: null });
  t.match(
    await save('reviewer', { ...shown, enable_sub_agents: true }),
    { status: 201 },
    'what was shown may come back',
  );
  t.match(await rig.call('POST', `${AT}/${id}/activate`, {}), {
    status: 200,
    body: { id, agent_settings_applied: false },
  });
  t.match(await list(), { profiles: [{ id, name: 'reviewer', revision: 1 }], active_agent_profile_id: id });
  t.match((await rig.call('GET', `${V1}/settings`)).body, {
    active_agent_profile_id: id,
    active_agent_profile_revision: 1,
    agent_settings: { llm: { model: 'openai/usual' } },
  });
  t.match(await rig.call('POST', `${AT}/reviewer/rename`, { new_name: 'critic' }), { body: { name: 'critic' } });
  await save('other', { agent_kind: 'openhands', llm_profile_ref: 'small' });
  t.match(await rig.call('POST', `${AT}/other/rename`, { new_name: 'critic' }), { status: 409 });
  t.match(await rig.call('POST', `${AT}/none/rename`, { new_name: 'x' }), { status: 404 });
  t.match(await rig.call('POST', `${AT}/none/activate`, {}), { status: 404 });
  t.equal(await idOf('critic'), id, 'the id stays');
  for (const name of ['critic', 'other', 'none'])
    t.match(await rig.call('DELETE', `${AT}/${name}`), { status: 200, body: { name } });
  t.same(await list(), { profiles: [], active_agent_profile_id: null });
  t.equal((await rig.call('GET', `${V1}/settings`)).body.active_agent_profile_id, null, 'nothing points to it');
});

t.test('what cannot be a profile is refused, and says why', async (t) => {
  const good = { agent_kind: 'openhands', llm_profile_ref: 'small' };
  const refused: [string, object, number, RegExp][] = [
    ['a b', good, 422, /pattern/],
    ['a', { agent_kind: 'openhands' }, 422, /llm_profile_ref/],
    ['a', { agent_kind: 'acp', acp_server: 'codex' }, 422, /do not run here/],
    ['a', { ...good, acp_server: 'codex' }, 422, /acp_server/],
    ['a', { ...good, verification: { critic_mode: 'sometimes' } }, 400, /critic_mode/],
    ['a', { ...good, system_message_suffix: 'x'.repeat(60_000) }, 422, /system_message_suffix/],
  ];
  for (const [name, body, status, words] of refused)
    t.match(await save(encodeURIComponent(name), body), { status, text: words }, words.source);
  const long = Array.from({ length: 3 }, (_, n) => ({ name: `s${n}`, content: 'x'.repeat(49_000) }));
  t.match(await save('a', { ...good, skills: long }), { status: 413 });
  await save('a', { ...good, verification: { critic_enabled: true, critic_api_key: 'sk-critic' } });
  t.notMatch((await rig.call('GET', `${AT}/a`)).text, 'sk-critic', 'a profile holds no key');
  for (let n = 1; n < 30; n += 1) await save(`p${n}`, good);
  t.match(await save('p30', good), { status: 409, text: /limit/ });
  for (const { name } of (await list()).profiles) await rig.call('DELETE', `${AT}/${name}`);
});

t.test('what it lacks is told before a conversation is started with it', async (t) => {
  await save('broken', { llm_profile_ref: 'nowhere', mcp_server_refs: ['docs', 'gone'] });
  t.match((await rig.call('POST', `${AT}/broken/materialize`, {})).body, {
    valid: false,
    errors: ["LLM profile 'nowhere' not found", "MCP server 'gone' not found"],
    llm_profile_resolved: false,
    resolved_mcp_servers: ['docs'],
    dangling_mcp_server_refs: ['gone'],
    resolved_settings: null,
  });
  const agent_profile_id = await idOf('broken');
  t.match(await rig.call('POST', `${V1}/app-conversations`, { agent_profile_id }), {
    status: 409,
    body: { detail: /nowhere.*gone/ },
  });
  t.match(await rig.call('POST', `${V1}/app-conversations`, { agent_profile_id: 'none' }), { status: 404 });
  await rig.call('DELETE', `${AT}/broken`);
});

t.test('a conversation of a profile: its model, servers, skills, words and secrets, and no others', async (t) => {
  await save('reviewer', {
    llm_profile_ref: 'small',
    mcp_server_refs: ['docs'],
    secret_refs: ['WANTED'],
    skills: [{ name: 'house-style', content: 'Plain words.', mcp_tools: { key: 'sk-hidden' } }],
    disabled_skills: ['noisy'],
    system_message_suffix: 'You review.',
    enable_sub_agents: true,
    condenser: { enabled: true, max_size: 80 },
  });
  await rig.call('POST', `${V1}/settings/profiles/small/rename`, { new_name: 'tiny' });
  const check = await rig.call('POST', `${AT}/reviewer/materialize`, {});
  t.match(check.body, { valid: true, llm_profile_ref: 'tiny', llm_api_key_set: true });
  t.notMatch(check.text, /sk-/, 'no key is shown');
  t.notMatch((await rig.call('GET', `${AT}/reviewer`)).text, /sk-/);
  const id = await idOf('reviewer');
  const started = await converse(rig, {
    agent_profile_id: id,
    system_message_suffix: 'Be brief.',
    secrets: { OWN: 'x' },
  });
  t.teardown(() => started.agent.close());
  const sent = started.agent.conversations.get(conversationDashed(started.id)) as {
    agent: { mcp_config: object; tools: { name: string }[] };
    secrets: object;
  };
  t.match(sent.agent, {
    llm: { model: 'openai/small', api_key: 'sk-small' },
    condenser: { max_size: 80 },
    agent_context: {
      skills: [{ name: 'work_hosts' }, { name: 'house-style', content: 'Plain words.' }],
      disabled_skills: ['noisy'],
      system_message_suffix: 'You review.\n\nBe brief.',
    },
  });
  t.ok(sent.agent.tools.some(({ name }) => name === 'task_tool_set'));
  t.same(
    Object.keys(sent.agent.mcp_config).filter((name) => ['docs', 'mail'].includes(name)),
    ['docs'],
  );
  t.same(Object.keys(sent.secrets).sort(), ['OWN', 'WANTED']);
  t.match(await conversationOf(rig, started.id), {
    llm_model: 'openai/small',
    launched_agent_profile: { agent_profile_id: id, revision: 0 },
  });
});

t.test('one that names none has the active one; one that names a model has that', async (t) => {
  const modelOf = async (body: object) => {
    const { id, agent } = await converse(rig, body);
    t.teardown(() => agent.close());
    return (await conversationOf(rig, id)) as unknown as { llm_model: string; launched_agent_profile: object | null };
  };
  t.match(await modelOf({}), { llm_model: 'openai/usual', launched_agent_profile: null }, 'none is active');
  const id = await idOf('reviewer');
  await rig.call('POST', `${AT}/${id}/activate`, {});
  t.match(await modelOf({}), { llm_model: 'openai/small', launched_agent_profile: { agent_profile_id: id } });
  t.match(await modelOf({ llm_model: 'openai/asked' }), { llm_model: 'openai/asked', launched_agent_profile: null });
  await rig.call('DELETE', `${V1}/settings/profiles/tiny`);
  t.match(
    await modelOf({}),
    { llm_model: 'openai/usual', launched_agent_profile: null },
    'an active one that lacks its model',
  );
});

t.test('the end', async () => {
  await rig.stop();
  await db.close();
  await endSuite(cluster);
});
