/** Limits, secrets, condensation and what goes on beside the loop. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { NoCondenserError } from '../seam.js';
import { agentConfig, llmConfig } from './testing/conversation.js';
import { startModel } from './testing/model.js';
import { firstText, never, stageFor, terminal } from './testing/stage.js';

const model = await startModel();
const stage = stageFor(model);
t.teardown(() => model.close());

t.test('limits: iterations, circles', async (t) => {
  const same = { calls: [terminal('echo same')] };
  const stuck = stage(t, [same]);
  await stuck.say('go');
  t.equal(await stuck.run(), 'stuck');
  t.equal(stuck.of('ObservationEvent').length, 4);
  const limited = stage(t, [same], { settings: { maxIterations: 2, stuckDetection: false } });
  await limited.say('go');
  t.equal(await limited.run(), 'error');
  t.match(limited.of('ConversationErrorEvent')[0], {
    code: 'MaxIterationsReached',
    detail: 'Agent reached maximum iterations limit (2).',
  });
});

t.test('a budget ends a run, not an answer', async (t) => {
  const price = { base_url: model.url, input_cost_per_token: 0.001, output_cost_per_token: 0 };
  const work = { calls: [terminal('echo same')] };
  const s = stage(t, [work], { agent: agentConfig(price), settings: { maxBudget: 0.25, stuckDetection: false } });
  await s.say('go');
  t.equal(await s.run(), 'error');
  t.equal(s.of('ObservationEvent').length, 3, 'a call costs ten cents: the third is over');
  t.match(s.of('ConversationErrorEvent')[0], {
    code: 'MaxBudgetReached',
    detail: 'Agent reached maximum budget limit ($0.2500); accumulated cost $0.3000.',
  });
  await s.say('more');
  t.equal(await s.run(), 'error');
  t.equal(s.of('ObservationEvent').length, 4, 'one step for each message');
  model.script({ text: 'It is done.' });
  await s.say('and?');
  t.equal(await s.run(), 'finished');
});

t.test('an agent that plans writes its plan and nothing else', async (t) => {
  const edit = (args: object) => ({ calls: [{ tool: 'planning_file_editor', args }] });
  const s = stage(t, [{ text: 'set below' }], {
    agent: agentConfig(
      { base_url: model.url },
      { tools: [{ name: 'planning_file_editor', params: {} }], system_prompt_filename: 'system_prompt_planning.j2' },
    ),
  });
  const dir = s.conversation.workspaceDir;
  const plan = join(dir, '.agents_tmp/PLAN.md');
  writeFileSync(join(dir, 'a.txt'), 'hello');
  model.script(
    edit({ command: 'create', path: join(dir, 'b.txt'), file_text: 'x' }),
    edit({ command: 'str_replace', path: join(dir, '.agents_tmp/../a.txt'), old_str: 'hello', new_str: 'x' }),
    edit({ command: 'view', path: join(dir, 'a.txt') }),
    edit({ command: 'str_replace', path: plan, old_str: '# 1. OBJECTIVE', new_str: '# 1. OBJECTIVE\nTo win.' }),
    { text: 'The plan is ready.' },
  );
  await s.say('plan it');
  t.equal(await s.run(), 'finished');
  t.match(
    s.of('ObservationEvent').map(({ observation }) => observation),
    [true, true, false, false].map((is_error) => ({ kind: 'PlanningFileEditorObservation', is_error })),
  );
  t.equal(readFileSync(join(dir, 'a.txt'), 'utf8'), 'hello');
  t.notOk(existsSync(join(dir, 'b.txt')));
  t.match(readFileSync(plan, 'utf8'), /^# 1. OBJECTIVE\nTo win.\n[^]*# 5. TESTING AND VALIDATION/);
  t.match(s.of('SystemPromptEvent')[0]?.system_prompt.text, /^You plan software tasks/);
});

t.test('secrets reach commands and nothing else', async (t) => {
  const s = stage(t, [{ calls: [terminal('echo "v $TOKEN"; env | grep -c TOKEN')] }, { text: 'it is hush-hush' }], {
    secrets: { TOKEN: 'hush-hush' },
  });
  await s.say('go');
  t.equal(await s.run(), 'finished');
  t.match(s.of('SystemPromptEvent')[0]?.dynamic_context?.text, /\$TOKEN/);
  t.equal(firstText(s.of('ObservationEvent')[0]!.observation), 'v <secret-hidden>\n1');
  t.notMatch(JSON.stringify(s.conversation.events), /hush-hush/);
});

t.test('condensing, by order and when the context is too small', async (t) => {
  const condenser = {
    kind: 'LLMSummarizingCondenser',
    llm: llmConfig({ base_url: model.url, usage_id: 'condenser' }),
    max_size: 10,
    keep_first: 2,
  };
  const work = [1, 2, 3].map((n) => ({ calls: [terminal(`echo ${n}`)] }));
  const s = stage(t, [...work, { text: 'end' }], { agent: agentConfig({ base_url: model.url }, { condenser }) });
  await s.say('task');
  t.equal(await s.run(), 'finished');
  model.script({ text: 'SUMMARY' });
  await s.runtime.condense(s.conversation, never());
  t.strictSame(s.conversation.kinds().slice(-2), ['CondensationRequest', 'Condensation']);
  const [condensation] = s.of('Condensation');
  t.match(condensation, { summary: 'SUMMARY', summary_offset: 2 });
  t.equal(condensation?.forgotten_event_ids.length, 6);
  t.equal(model.requests.at(-1)?.tools, undefined);
  t.equal(s.conversation.usages.at(-1)?.usageId, 'condenser');
  model.script(
    { error: { status: 400, message: 'x', code: 'context_length_exceeded' } },
    { text: 'SHORTER' },
    { text: 'now it fits' },
  );
  await s.say('more');
  t.equal(await s.run(), 'finished');
  t.strictSame(s.conversation.kinds().slice(-4), [
    'MessageEvent',
    'CondensationRequest',
    'Condensation',
    'MessageEvent',
  ]);
  t.strictSame(
    model.requests
      .at(-1)!
      .messages.map((message) => message.role)
      .slice(0, 3),
    ['system', 'user', 'user'],
  );
  const none = stage(t, []);
  await t.rejects(none.runtime.condense(none.conversation, never()), NoCondenserError);
});

t.test('beside the task: title, question, recovery, completion log', async (t) => {
  const s = stage(t, [{ text: 'Main answer.' }], {
    agent: agentConfig({ base_url: model.url, log_completions: true }),
  });
  await s.say('Make me a sandwich');
  await s.run();
  t.match(s.of('LLMCompletionLogEvent')[0], { model_name: 'openai/scripted', usage_id: 'agent', filename: /\.json$/ });
  const before = s.conversation.events.length;
  model.script({ text: '"Sandwich making."' });
  t.equal(await s.runtime.generateTitle(s.conversation, { maxLength: 50, signal: never() }), 'Sandwich making');
  model.script({ error: { status: 500, message: 'x' } });
  t.equal(await s.runtime.generateTitle(s.conversation, { maxLength: 10, signal: never() }), 'Make me a…');
  model.script({ text: 'I did.' });
  t.equal(await s.runtime.askAgent(s.conversation, 'What?', never()), 'I did.');
  t.equal(s.conversation.events.length, before, 'no trace in the history');
  await s.conversation.append({
    kind: 'ActionEvent',
    thought: [],
    thinking_blocks: [],
    action: { kind: 'TerminalAction' },
    tool_name: 'terminal',
    tool_call_id: 'c9',
    tool_call: { id: 'c9', name: 'terminal', arguments: '{}', origin: 'completion' },
    llm_response_id: 'r9',
    security_risk: 'UNKNOWN',
  });
  t.equal(await s.runtime.recover(s.conversation), 1);
  t.match(s.of('AgentErrorEvent')[0], {
    tool_call_id: 'c9',
    error: /^A restart occurred/,
    classification: { kind: 'internal' },
  });
});

t.test('instructions of the repository and skills by keyword', async (t) => {
  const skills = [
    { name: 'docker', content: 'Use podman here.', trigger: { type: 'keyword', keywords: ['Docker', 'container'] } },
    { name: 'style', content: 'Tabs, never spaces.', trigger: null },
    {
      name: 'pdf',
      content: 'long',
      trigger: null,
      is_agentskills_format: true,
      source: '/skills/pdf/SKILL.md',
      description: 'reads PDFs',
    },
  ];
  const context = {
    skills,
    system_message_suffix: 'Be brief.',
    user_message_suffix: 'Thanks.',
    load_project_skills: true,
  };
  const s = stage(t, [{ text: 'ok' }], { agent: agentConfig({ base_url: model.url }, { agent_context: context }) });
  writeFileSync(join(s.conversation.workspaceDir, 'AGENTS.md'), 'Run `make test` first.');
  await s.say('Build a docker image');
  const given = s.of('SystemPromptEvent')[0]?.dynamic_context?.text ?? '';
  for (const part of [
    /Be brief\./,
    /Tabs, never spaces\./,
    /make test/,
    /pdf \(\/skills\/pdf\/SKILL\.md\): reads PDFs/,
  ])
    t.match(given, part);
  t.notMatch(given, /podman/);
  t.match(s.of('MessageEvent')[0], {
    activated_skills: ['docker'],
    extended_content: [{ text: /Use podman here/ }, { text: 'Thanks.' }],
  });
  await s.say('Another container');
  t.strictSame(s.of('MessageEvent')[1]?.activated_skills, [], 'once is enough');
  await s.run();
  t.match(JSON.stringify(model.requests.at(-1)?.messages), /podman/);
});

t.test('hooks: forbid a call and a message, tell the model, keep it at work', async (t) => {
  const hookConfig = {
    pre_tool_use: [
      { matcher: 'terminal', hooks: [{ command: 'grep -q forbidden && { echo "not that" >&2; exit 2; }; exit 0' }] },
    ],
    user_prompt_submit: [
      { hooks: [{ command: `grep -q bad && exit 2; echo '{"additionalContext": "it is Monday"}'` }] },
    ],
    Stop: [{ hooks: [{ command: 'test -e done || { echo "no file done" >&2; exit 2; }' }] }],
  };
  const s = stage(
    t,
    [
      { calls: [terminal('echo forbidden')] },
      { text: 'finished?' },
      { calls: [terminal('touch done')] },
      { text: 'now.' },
    ],
    { settings: { hookConfig } },
  );
  await s.say('go');
  t.match(s.of('MessageEvent')[0], { extended_content: [{ text: 'it is Monday' }] });
  t.equal(await s.run(), 'finished');
  const kinds = s.conversation.kinds().slice(3);
  t.strictSame(kinds.slice(0, 3), ['HookExecutionEvent', 'ActionEvent', 'UserRejectObservation']);
  t.match(s.of('UserRejectObservation')[0], { rejection_source: 'hook', rejection_reason: 'not that' });
  const hooks = s.of('HookExecutionEvent');
  t.match(hooks[1], {
    hook_event_type: 'PreToolUse',
    blocked: true,
    exit_code: 2,
    action_id: s.of('ActionEvent')[0]!.id,
    tool_name: 'terminal',
  });
  t.match(
    s.of('MessageEvent').find((event) => event.source === 'hook'),
    { llm_message: { content: [{ text: /no file done/ }] } },
  );
  t.equal(s.of('MessageEvent').at(-1)?.llm_message.content[0]?.type, 'text');
  t.equal(model.requests.length, 4);
  await s.say('bad words');
  t.equal(await s.run(), 'finished');
  t.equal(model.requests.length, 4, 'a forbidden message is not answered');
});
