/** Sub-agents, through the whole server, with a scripted model behind HTTP. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { caller, folder, says, startHere, statusOf, until, type Call } from '../testing/server.js';
import { startModel, type Turn } from './testing/model.js';

interface Event {
  kind: string;
  tool_name?: string;
  action?: Record<string, unknown>;
  observation?: Record<string, unknown> & { content: { text: string }[] };
  error?: string;
  detail?: string;
  llm_message?: { content: { text: string }[] };
}
interface Info {
  sub_conversation_ids: string[];
  parent_conversation_id: string | null;
  execution_status: string;
  title: string | null;
  stats: { usage_to_metrics: Record<string, { accumulated_token_usage: { prompt_tokens: number } }> };
}

const task = (prompt: string, more: object = {}): Turn => ({ calls: [{ tool: 'task', args: { prompt, ...more } }] });
const finish = (message: string): Turn => ({ calls: [{ tool: 'finish', args: { message } }] });

async function open(t: Test, turns: Turn[], more: Record<string, unknown> = {}) {
  const dir = folder(t);
  const model = await startModel();
  const server = await startHere(dir);
  t.teardown(async () => {
    await server.close();
    await model.close();
  });
  model.script(...turns);
  mkdirSync(join(dir, 'workspace/project/.agents/agents'), { recursive: true });
  const call = caller(server.url);
  const start = async (agent: object = {}) => {
    const made = await call('POST', '/api/conversations', {
      agent: {
        llm: {
          model: 'openai/scripted',
          api_key: 'sk-scripted',
          base_url: model.url,
          num_retries: 0,
          usage_id: 'agent',
        },
        tools: ['terminal', 'task_tool_set'].map((name) => ({ name, params: { no_change_timeout_seconds: 0.5 } })),
        ...agent,
      },
      workspace: { working_dir: '/workspace/project' },
      autotitle: false,
      initial_message: says('Do it.'),
      ...more,
    });
    t.equal(made.status, 201, 'made');
    return (made.body as { id: string }).id;
  };
  return { dir, model, server, call, start };
}

const infoOf = async (call: Call, id: string) => (await call('GET', `/api/conversations/${id}`)).body as Info;
async function eventsOf(call: Call, id: string): Promise<Event[]> {
  const page = await call('GET', `/api/conversations/${id}/events/search?limit=100`);
  return (page.body as { items: Event[] }).items;
}
const observations = async (call: Call, id: string) =>
  (await eventsOf(call, id)).flatMap((event) => (event.kind === 'ObservationEvent' ? [event.observation] : []));
const ends = (call: Call, id: string, status = 'finished') =>
  until(() => statusOf(call, id), (now) => now === status); // prettier-ignore

t.test('what sub-agents cost counts, and no sub-agent costs more than is left', async (t) => {
  const work = { calls: [{ tool: 'terminal', args: { command: 'echo on' } }] };
  const { call, model, start } = await open(
    t,
    [task('Look around.', { subagent_type: 'code-explorer' }), work, work, work, finish('never said')],
    { max_budget_per_run: 0.25, stuck_detection: false },
  );
  const id = await start({
    llm: {
      model: 'openai/scripted',
      api_key: 'sk-scripted',
      base_url: model.url,
      usage_id: 'agent',
      input_cost_per_token: 0.001,
      output_cost_per_token: 0,
    },
  });
  await ends(call, id, 'error');
  const { sub_conversation_ids: children, stats } = await infoOf(call, id);
  t.match(stats.usage_to_metrics, {
    agent: { accumulated_cost: 0.1, max_budget_per_task: 0.25 },
    'task:task_00000001': { accumulated_cost: 0.2 },
  });
  const details = async (of: string) =>
    (await eventsOf(call, of)).flatMap((event) => (event.kind === 'ConversationErrorEvent' ? [event.detail] : []));
  t.same(await details(children[0] ?? ''), ['Agent reached maximum budget limit ($0.1500); accumulated cost $0.2000.']);
  t.same(await details(id), ['Agent reached maximum budget limit ($0.2500); accumulated cost $0.3000.']);
});

t.test('a task is done by a sub-agent, and may be resumed', async (t) => {
  const { model, call, start } = await open(t, [
    task('Look around.', { description: 'look around', subagent_type: 'code-explorer' }),
    { calls: [{ tool: 'terminal', args: { command: 'echo seen > seen.txt' } }] },
    finish('I saw everything.'),
    task('And again.', { resume: 'task_00000001', subagent_type: 'code-explorer' }),
    { text: 'Still there.' },
    finish('All done.'),
  ]);
  const id = await start();
  await ends(call, id);
  const [first, second] = await observations(call, id);
  t.match(first, { kind: 'TaskObservation', task_id: 'task_00000001', subagent: 'code-explorer', status: 'completed' });
  t.equal(first?.content[0]?.text, 'I saw everything.');
  t.match(second, { task_id: 'task_00000001', status: 'completed', is_error: false });
  t.equal(second?.content[0]?.text, 'Still there.');

  const info = await infoOf(call, id);
  const [child = ''] = info.sub_conversation_ids;
  t.equal(info.sub_conversation_ids.length, 1, 'resuming makes no second one');
  const below = await infoOf(call, child);
  t.match(below, { parent_conversation_id: id, title: 'look around', execution_status: 'finished' });
  t.equal(info.stats.usage_to_metrics['task:task_00000001']?.accumulated_token_usage.prompt_tokens, 300);
  t.equal(info.stats.usage_to_metrics['agent']?.accumulated_token_usage.prompt_tokens, 300, 'its own calls alone');

  const told = JSON.stringify(model.requests[3]?.messages);
  t.match(told, /Task ID: task_00000001/, 'the model learns how to resume');
  const asked = model.requests[1];
  t.match(JSON.stringify(asked?.messages[0]), /You explore code/);
  t.same(asked?.tools?.map((tool) => tool.function.name).sort(), ['finish', 'terminal', 'think']);
  t.match(JSON.stringify(model.requests[0]?.tools), /web-researcher/, 'the model is told of the sub-agents');

  const listed = (await call('GET', '/api/conversations/search')).body as { items: { id: string }[] };
  t.same(listed.items.map((each) => each.id), [id], 'lists show what clients made'); // prettier-ignore
  t.equal((await call('GET', '/api/conversations/count')).body, 1);
  await call('DELETE', `/api/conversations/${id}`);
  t.equal((await call('GET', `/api/conversations/${child}`)).status, 404, 'it ends with its parent');
});

t.test('a task may be resumed by the next server on the folder, and its costs are counted on', async (t) => {
  const { dir, model, server, call, start } = await open(t, [task('Look.'), finish('Looked.'), finish('Done.')]);
  const id = await start();
  await ends(call, id);
  await server.close();
  const next = await startHere(dir);
  t.teardown(() => next.close());
  const again = caller(next.url);
  model.script(task('And again.', { resume: 'task_00000001' }), finish('Twice.'), finish('Done again.'));
  await again('POST', `/api/conversations/${id}/events`, { ...says('Once more.'), run: true });
  const seen = await until(
    () => observations(again, id),
    (all) => all.length === 4,
  );
  t.match(seen[2], { task_id: 'task_00000001', status: 'completed', content: [{ text: 'Twice.' }] });
  const { sub_conversation_ids, stats } = await infoOf(again, id);
  t.equal(sub_conversation_ids.length, 1);
  t.equal(stats.usage_to_metrics['task:task_00000001']?.accumulated_token_usage.prompt_tokens, 200);
});

t.test('definitions of the project and the client', async (t) => {
  const { dir, call, start, model } = await open(t, [task('Check.', { subagent_type: 'checker' }), finish('checked'), finish('ok')], {
    agent_definitions: [{ name: 'sorter', description: 'Sorts.', tools: ['terminal'], system_prompt: 'You sort.' }],
  }); // prettier-ignore
  const agents = join(dir, 'workspace/project/.agents/agents');
  writeFileSync(
    join(agents, 'checker.md'),
    '---\nname: checker\ndescription: |\n  Checks. <example>check it</example>\ntools: [terminal]\nmax_iteration_per_run: 7\nowner: me\n---\nYou check strictly.\n',
  );
  writeFileSync(join(agents, 'broken.md'), '---\nname: [\n---\nx');
  const listed = await call('POST', '/api/sub-agents', { project_dir: '/workspace/project', load_user: false });
  const found = (listed.body as { agents: Record<string, unknown>[] }).agents;
  t.same(found.map((each) => each['name']), ['checker', 'bash-runner', 'code-explorer', 'general-purpose', 'web-researcher']); // prettier-ignore
  t.match(found[0], {
    level: 'project',
    is_builtin: false,
    max_iteration_per_run: 7,
    system_prompt: 'You check strictly.',
    when_to_use_examples: ['check it'],
    metadata: { owner: 'me' },
    mcp_servers: null,
  });
  const id = await start();
  await ends(call, id);
  t.match((await observations(call, id))[0], { subagent: 'checker', status: 'completed' });
  t.match(JSON.stringify(model.requests[0]?.tools), /sorter: Sorts\. \(tools: terminal\)/);
  t.match(JSON.stringify(model.requests[1]?.messages[0]), /You check strictly/);
});

t.test('what cannot be done is said: unknown agents and tasks, errors inside, depth', async (t) => {
  const { call, start } = await open(t, [
    task('x', { subagent_type: 'nobody' }),
    task('x', { resume: 'task_00000009' }),
    task('x'),
    { error: { status: 401, message: 'bad key' } },
    finish('done'),
  ]);
  const id = await start();
  await ends(call, id);
  const [unknown, missing, failed] = await observations(call, id);
  t.match(unknown, { is_error: true, task_id: 'unknown', status: 'error' });
  t.match(unknown?.content[0]?.text, /Unknown agent 'nobody'.*general-purpose/);
  t.match(missing?.content[0]?.text, /Task 'task_00000009' not found/);
  t.match(failed, { is_error: true, task_id: 'task_00000001', status: 'error' });
  t.match(failed?.content[0]?.text, /key appears to be invalid/);
});

t.test('sub-agents of sub-agents end at a depth', async (t) => {
  const deeper = task('Deeper.', { subagent_type: 'nester' });
  const { call, start, dir } = await open(t, [
    deeper,
    deeper,
    deeper,
    finish('third'),
    finish('second'),
    finish('first'),
  ]);
  writeFileSync(join(dir, 'workspace/project/.agents/agents/nester.md'), '---\ntools: [task_tool_set]\n---\nNest.');
  const id = await start();
  await ends(call, id);
  const below = (await infoOf(call, id)).sub_conversation_ids[0] ?? '';
  const lowest = (await infoOf(call, below)).sub_conversation_ids[0] ?? '';
  t.same((await infoOf(call, lowest)).sub_conversation_ids, []);
  t.match((await observations(call, lowest))[0]?.content[0]?.text, /starts no further ones/);
  t.equal((await observations(call, id))[0]?.content[0]?.text, 'second');
});

t.test('an interrupt of the parent ends the sub-agent; a pause lets it be resumed', async (t) => {
  const sleep: Turn = { calls: [{ tool: 'terminal', args: { command: 'sleep 1000', timeout: 900 } }] };
  const { call, start, model } = await open(t, [task('Sleep.'), sleep, finish('never')]);
  const id = await start();
  const childId = async () => (await infoOf(call, id)).sub_conversation_ids[0] ?? '';
  await until(async () => ((await childId()) === '' ? [] : eventsOf(call, await childId())), (events) => events.some((event) => event.action?.['command'] === 'sleep 1000')); // prettier-ignore
  await call('POST', `/api/conversations/${id}/interrupt`);
  await ends(call, id, 'paused');
  t.equal((await infoOf(call, await childId())).execution_status, 'paused', 'with its parent');
  t.ok((await eventsOf(call, id)).some((event) => event.kind === 'AgentErrorEvent' && event.tool_name === 'task'));

  let release = (): void => undefined;
  const hold = new Promise<void>((resolve) => (release = resolve));
  model.script(task('Go on.', { resume: 'task_00000001' }), { text: 'Half.', hold }, finish('end'));
  await call('POST', `/api/conversations/${id}/events`, says('Again.'));
  await until(() => Promise.resolve(model.requests.length), (count) => count === 4); // prettier-ignore
  await call('POST', `/api/conversations/${id}/pause`);
  release();
  await ends(call, id, 'paused');
  t.equal((await observations(call, id)).length, 1, 'the task has its observation');
});

t.test('a sub-agent cannot do what its user would have to confirm', async (t) => {
  const { call, start, dir } = await open(
    t,
    [
      task('Do.', { subagent_type: 'careful' }),
      { calls: [{ tool: 'terminal', args: { command: 'touch risky' } }] },
      finish('I would touch a file.'),
      finish('ok'),
    ],
    { agent_definitions: [{ name: 'careful', tools: ['terminal'], permission_mode: 'always_confirm' }] },
  );
  const id = await start();
  await ends(call, id);
  t.equal((await observations(call, id))[0]?.content[0]?.text, 'I would touch a file.');
  t.notOk(existsSync(join(dir, 'workspace/project/risky')));
  const below = (await infoOf(call, id)).sub_conversation_ids[0] ?? '';
  t.ok((await eventsOf(call, below)).some((event) => event.kind === 'UserRejectObservation'));
});
