/** Hooks: every moment, commands and models, limits. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { hookConfigSchema, mergeHooks } from '../services/hooks.js';
import { caller, folder, says, startHere, statusOf, until } from '../testing/server.js';
import { outcomeOf } from './hook-command.js';
import { firstObject, judged } from './hook-model.js';
import { hooksFor } from './hooks.js';
import { startModel } from './testing/model.js';
import { finish, stageFor, terminal } from './testing/stage.js';

const model = await startModel();
t.teardown(() => model.close());
const stage = stageFor(model);

t.test('configurations: both spellings, checks, joining', async (t) => {
  const one = hookConfigSchema.parse({ hooks: { PreToolUse: [{ matcher: 'a|b', hooks: [{ command: 'x' }] }] } });
  t.equal(one.pre_tool_use.length, 1);
  t.same(one.stop, []);
  t.match(one.pre_tool_use[0]?.hooks[0], { type: 'command', timeout: 60, async: false, max_iterations: 3 });
  t.equal(mergeHooks([one, one])?.pre_tool_use.length, 2);
  t.equal(mergeHooks([hookConfigSchema.parse({})]), null);
  const wrong = (hook: object) => hookConfigSchema.safeParse({ stop: [{ hooks: [hook] }] }).success;
  t.notOk(wrong({}), 'a command hook has a command');
  t.notOk(wrong({ type: 'prompt' }));
  t.notOk(wrong({ type: 'prompt', prompt: 'x', async: true }));
  t.notOk(wrong({ type: 'agent', command: 'x' }));
  t.ok(wrong({ type: 'agent', system_prompt: 'x' }));
  t.notOk(hookConfigSchema.safeParse({ SomethingElse: [] }).success);
  t.equal(hooksFor({ pre_tool_use: [{ matcher: '/term.*/', hooks: [{ command: 'x' }] }] }, 'PreToolUse', 'terminal').length, 1); // prettier-ignore
  t.equal(hooksFor({ pre_tool_use: [{ matcher: 'term', hooks: [{ command: 'x' }] }] }, 'PreToolUse', 'terminal').length, 0); // prettier-ignore
});

t.test('verdicts', async (t) => {
  const ran = { exitCode: 0, stdout: '', stderr: '', error: null };
  t.match(outcomeOf({ ...ran, exitCode: 1 }), { success: false, blocked: false });
  t.match(outcomeOf({ ...ran, exitCode: 2, stderr: 'no' }), { success: false, blocked: true });
  t.match(outcomeOf({ ...ran, stdout: '{"continue": false, "reason": "later"}' }), { blocked: true, reason: 'later' });
  t.match(outcomeOf({ ...ran, stdout: '{"decision": "DENY"}' }), { success: true, blocked: true });
  t.match(outcomeOf({ ...ran, stdout: '{"decision": 5}' }), { success: true, blocked: false });
  t.same(firstObject('so: ```json\n{"decision":"deny","why":{"a":"}"}}\n``` yes'), {
    decision: 'deny',
    why: { a: '}' },
  });
  t.match(judged('{"decision":"allow","reason":"fine"}', 'Prompt'), { success: true, blocked: false, reason: 'fine' });
  t.match(judged('maybe', 'Prompt'), { success: false, blocked: false, error: /no parseable JSON/ });
  t.match(judged('{"decision":"perhaps"}', 'Agent'), { success: false, blocked: false });
  t.match(judged('', 'Agent'), { success: false, error: /no final response/ });
});

t.test('a session: its start, its end, what hooks are told, time and output', async (t) => {
  const write = (name: string) => ({
    command: `cat > ${name}.json; echo "$OPENHANDS_EVENT_TYPE $OPENHANDS_TOOL_NAME" > ${name}.txt`,
  });
  const s = stage(t, [{ calls: [terminal('echo hi')] }, finish('done')], {
    settings: {
      hookConfig: {
        session_start: [{ hooks: [write('start')] }],
        session_end: [{ hooks: [{ command: 'touch ended' }, { command: 'echo no >&2; exit 2' }] }],
        pre_tool_use: [{ matcher: 'terminal', hooks: [write('pre'), { command: 'touch beside; sleep 1000', async: true }] }],
        post_tool_use: [
          { matcher: 'terminal', hooks: [write('post'), { command: 'exit 2' }, { command: 'sleep 1000 & sleep 1000', timeout: 1 }] },
        ],
        stop: [{ hooks: [{ command: 'head -c 200000 /dev/zero | tr "\\0" x' }] }],
      },
    },
  }); // prettier-ignore
  await s.say('go');
  t.equal(s.conversation.kinds()[0], 'HookExecutionEvent', 'before everything else');
  t.equal(await s.run(), 'finished');
  await s.say('more');
  const of = (moment: string) => s.of('HookExecutionEvent').filter((event) => event.hook_event_type === moment);
  t.equal(of('SessionStart').length, 1);
  const read = (name: string): unknown => JSON.parse(readFileSync(join(s.conversation.workspaceDir, name), 'utf8'));
  t.match(read('start.json'), { event_type: 'SessionStart', session_id: s.conversation.id, metadata: {} });
  t.match(read('pre.json'), { tool_name: 'terminal', tool_input: { command: 'echo hi' }, tool_response: null });
  t.match(read('post.json'), { tool_response: { exit_code: 0 } });
  t.equal(readFileSync(join(s.conversation.workspaceDir, 'pre.txt'), 'utf8'), 'PreToolUse terminal\n');
  t.match(of('PreToolUse')[1], { success: true, exit_code: 0, stdout: '' });
  t.match(of('PreToolUse')[0], { hook_input: { tool_name: 'terminal', tool_input: { command: 'echo hi' } } });
  await until(() => Promise.resolve(existsSync(join(s.conversation.workspaceDir, 'beside'))), (there) => there); // prettier-ignore
  t.match(of('PostToolUse').slice(1), [
    { blocked: true, exit_code: 2 },
    { success: false, exit_code: -1, error: 'Hook timed out after 1 seconds' },
  ]);
  const [stop] = of('Stop');
  t.equal(stop?.stdout.length, 50_000);
  t.match(stop?.stdout, /x\n<TRUNCATED>$/);
  t.match(stop?.hook_input, { reason: 'finished' });
  await s.runtime.close(s.conversation);
  t.match(of('SessionEnd'), [{ success: true }, { exit_code: 2 }]);
  await s.runtime.close(s.conversation);
  t.equal(of('SessionEnd').length, 2, 'once');
  await s.say('again');
  await s.runtime.close(s.conversation, { lost: true });
  t.equal(of('SessionEnd').length, 2, 'nothing is written where another server is at work');
});

t.test('models judge', async (t) => {
  const dir = folder(t);
  const server = await startHere(dir);
  t.teardown(() => server.close());
  const call = caller(server.url);
  const llm = { model: 'openai/scripted', api_key: 'sk-s', base_url: model.url, num_retries: 0, usage_id: 'agent' };
  model.requests.length = 0;
  model.script(
    { calls: [terminal('touch forbidden')] },
    { text: 'I say {"decision": "deny", "reason": "not this file"}' },
    { calls: [terminal('touch allowed')] },
    { text: 'hm' },
    finish('done'),
    { calls: [terminal('ls')] },
    { text: '{"decision": "deny", "reason": "write more"}' },
    { text: 'Still done.' },
    { text: '{"decision": "allow"}' },
  );
  const body = {
    agent: { llm, tools: [{ name: 'terminal' }] },
    workspace: { working_dir: '/workspace/project' },
    autotitle: false,
    initial_message: says('Do it.'),
    hook_config: {
      hooks: {
        PreToolUse: [
          { matcher: 'terminal', hooks: [{ type: 'prompt', name: 'files', prompt: 'No forbidden files.' }] },
        ],
        Stop: [{ hooks: [{ type: 'agent', name: 'judge', system_prompt: 'You judge.', tools: ['terminal'] }] }],
      },
    },
  };
  const made = await call('POST', '/api/conversations', body);
  const { id } = made.body as { id: string };
  t.match(made.body, { hook_config: { pre_tool_use: [{ matcher: 'terminal' }], session_end: [] } });
  await until(() => statusOf(call, id), (status) => status === 'finished'); // prettier-ignore
  t.notOk(existsSync(join(dir, 'workspace/project/forbidden')));
  t.ok(existsSync(join(dir, 'workspace/project/allowed')), 'no verdict forbids nothing');
  const page = (await call('GET', `/api/conversations/${id}/events/search?kind=HookExecutionEvent`)).body;
  t.match((page as { items: unknown[] }).items, [
    { hook_command: 'prompt-hook:files', blocked: true, reason: 'not this file', success: true },
    { hook_command: 'prompt-hook:files', blocked: false, success: false },
    { hook_command: 'agent-hook:judge', blocked: true, reason: 'write more' },
    { hook_command: 'agent-hook:judge', blocked: false, success: true },
  ]);
  t.match(JSON.stringify(model.requests[1]?.messages), /No forbidden files/);
  t.match(JSON.stringify(model.requests[5]?.messages), /You judge/);
  t.same(
    model.requests[5]?.tools?.map((tool) => tool.function.name),
    ['terminal', 'finish'],
  );
  const info = (await call('GET', `/api/conversations/${id}`)).body as {
    sub_conversation_ids: string[];
    stats: { usage_to_metrics: Record<string, { accumulated_token_usage: { prompt_tokens: number } }> };
  };
  t.same(info.sub_conversation_ids, [], 'a judge leaves nothing behind');
  t.equal(info.stats.usage_to_metrics['agent-hook:judge']?.accumulated_token_usage.prompt_tokens, 300);
  t.equal(info.stats.usage_to_metrics['prompt-hook:files']?.accumulated_token_usage.prompt_tokens, 200);
  const refused = await call('POST', '/api/conversations', { ...body, hook_config: { stop: [{ hooks: [{}] }] } });
  t.equal(refused.status, 422);
  t.match(JSON.stringify(refused.body), /'command' is required/);
});
