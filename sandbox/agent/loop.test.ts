/** The loop against a scripted model over HTTP, with real tools in a temporary folder. */
import t from 'tap';
import type { NewEvent } from '../../contracts/agent/events.js';
import type { ConversationSettings } from '../seam.js';
import { agentConfig } from './testing/conversation.js';
import { startModel, type Turn } from './testing/model.js';
import { finish, firstText, stageFor, terminal } from './testing/stage.js';

const model = await startModel();
const stage = stageFor(model);
t.teardown(() => model.close());

t.test('a run: words, a command, a finish', async (t) => {
  const s = stage(t, [
    {
      text: 'First.',
      reasoning: 'hm',
      calls: [terminal('echo $((40+2))', { summary: 'count', security_risk: 'HIGH' })],
    },
    finish('Done.'),
  ]);
  const id = await s.say('go');
  t.equal(await s.run(), 'finished');
  t.strictSame(s.conversation.kinds(), [
    'SystemPromptEvent',
    'MessageEvent',
    'ActionEvent',
    'ObservationEvent',
    'ActionEvent',
    'ObservationEvent',
  ]);
  t.equal(s.of('MessageEvent')[0]?.id, id);
  const [action] = s.of('ActionEvent');
  t.match(action, {
    thought: [{ text: 'First.' }],
    reasoning_content: 'hm',
    security_risk: 'UNKNOWN',
    summary: 'count',
    tool_call_id: 'call_1_0',
    llm_response_id: 'resp-1',
  });
  t.strictSame(action?.action, {
    command: 'echo $((40+2))',
    is_input: false,
    timeout: null,
    reset: false,
    kind: 'TerminalAction',
  });
  t.equal(action?.tool_call.arguments, '{"command": "echo $((40+2))", "summary": "count", "security_risk": "HIGH"}');
  t.equal(firstText(s.of('ObservationEvent')[0]!.observation), '42');
  t.equal(s.conversation.usages.length, 2);
  t.match(s.conversation.usages[0], {
    usageId: 'agent',
    model: 'openai/scripted',
    responseId: 'resp-1',
    priceUnknown: true,
    tokens: { prompt_tokens: 100, completion_tokens: 10 },
  });
  const second = model.requests[1]!.messages;
  t.strictSame(
    second.map((message) => message.role),
    ['system', 'user', 'assistant', 'tool'],
  );
  t.match(second[3]?.content, /^42\n\[The command completed with exit code 0\.\]/);
  t.equal(
    second[2]?.tool_calls?.[0]?.function.arguments,
    action?.tool_call.arguments,
    'arguments go back as they are stored',
  );
  const parameters = model.requests[0]!.tools?.[0]?.function.parameters.properties;
  t.ok(parameters?.['summary']);
  t.notOk(parameters?.['security_risk'], 'no risk is asked for without an analyzer');
});

t.test('an answer in words ends the run; streaming gives deltas', async (t) => {
  const s = stage(t, [{ text: 'Hello you.', reasoning: 'think' }], { stream: true });
  await s.say('hi');
  t.equal(await s.run(), 'finished');
  t.match(s.of('MessageEvent')[1], {
    source: 'agent',
    llm_message: { role: 'assistant', content: [{ text: 'Hello you.' }], reasoning_content: 'think' },
    llm_response_id: 'resp-1',
  });
  const deltas = s.conversation.deltas as Extract<NewEvent, { kind: 'StreamingDeltaEvent' }>[];
  t.equal(deltas.map((delta) => delta.content ?? '').join(''), 'Hello you.');
  t.equal(deltas.map((delta) => delta.reasoning_content ?? '').join(''), 'think');
  t.match(s.conversation.usages[0]?.tokens, { prompt_tokens: 100, completion_tokens: 10 });
});

t.test('several calls in one answer, some of them wrong', async (t) => {
  const calls = [
    terminal('echo one'),
    { tool: 'terminal', raw: '{"command": "ls' },
    { tool: 'nope', raw: '{"a":1}' },
    { tool: 'terminal', raw: '{"command":"ls","x":true}' },
    terminal('echo two'),
  ];
  const s = stage(t, [{ text: 'All at once.', calls }, { text: 'ok' }]);
  await s.say('go');
  t.equal(await s.run(), 'finished');
  t.strictSame(s.conversation.kinds().slice(2), [
    'ActionEvent',
    'ActionEvent',
    'AgentErrorEvent',
    'ActionEvent',
    'AgentErrorEvent',
    'ActionEvent',
    'AgentErrorEvent',
    'ActionEvent',
    'ObservationEvent',
    'ObservationEvent',
    'MessageEvent',
  ]);
  t.match(
    s.of('AgentErrorEvent')[1]?.error,
    /^Tool 'nope' not found\. Available: \['terminal', 'file_editor', 'task_tracker', 'finish', 'think'\]$/,
  );
  t.strictSame(
    s.of('ActionEvent').map((event) => event.thought.length),
    [1, 0, 0, 0, 0],
  );
  const [, , assistant, ...results] = model.requests[1]!.messages;
  t.equal(assistant?.tool_calls?.length, 5);
  t.strictSame(
    results.map((message) => message.tool_call_id),
    assistant?.tool_calls?.map((call) => call.id),
    'each call has its result, in order',
  );
});

t.test('a model that numbers its calls anew each time', async (t) => {
  const again = (n: number): Turn => ({
    calls: [
      { ...terminal(`echo ${n}`), id: 'call_0' },
      { ...terminal(`echo ${n}b`), id: 'call_0' },
    ],
  });
  const s = stage(t, [again(1), again(2), finish('x')]);
  await s.say('go');
  t.equal(await s.run(), 'finished');
  t.equal(new Set(s.of('ActionEvent').map((event) => event.tool_call_id)).size, 5);
  t.strictSame(
    s.of('ObservationEvent').map((event) => firstText(event.observation)),
    ['1', '1b', '2', '2b', 'x'],
  );
});

t.test('errors of the model', async (t) => {
  const cases: [Turn['error'] & object, string, string, RegExp][] = [
    [{ status: 400, message: 'bad' }, 'LLMBadRequestError', 'config', /BadRequestError: OpenAIException - bad$/],
    [{ status: 401, message: 'no key sk-scripted' }, 'LLMAuthenticationError', 'auth', /^Your LLM API key/],
    [{ status: 403, message: 'no sk-scripted' }, 'APIError', 'transient', /no \*{10}$/],
    [{ status: 404, message: 'what' }, 'NotFoundError', 'config', /NotFoundError/],
    [{ status: 429, message: 'slow' }, 'LLMRateLimitError', 'rate_limit', /RateLimitError/],
    [
      { status: 429, message: 'You exceeded your current quota', code: 'insufficient_quota' },
      'LLMRateLimitError',
      'quota',
      /quota/,
    ],
    [{ status: 500, message: 'oops' }, 'LLMServiceUnavailableError', 'transient', /InternalServerError/],
    [
      { status: 400, message: 'too long', code: 'context_length_exceeded' },
      'LLMContextWindowExceedError',
      'agent_action',
      /ContextWindowExceededError/,
    ],
  ];
  for (const [error, code, kind, detail] of cases) {
    const s = stage(t, [{ error }]);
    await s.say('go');
    t.equal(await s.run(), 'error', code);
    t.match(s.of('ConversationErrorEvent')[0], { code, detail, classification: { kind } });
  }
  const s = stage(t, [], { agent: agentConfig({ base_url: 'http://127.0.0.1:9/v1' }) });
  await s.say('go');
  t.equal(await s.run(), 'error');
  t.match(s.of('ConversationErrorEvent')[0], { code: 'LLMServiceUnavailableError' }, 'nobody there');
  const unnamed = stage(t, [], { agent: agentConfig({ model: 'what-is-this' }) });
  await unnamed.say('go');
  t.equal(await unnamed.run(), 'error');
  t.match(unnamed.of('ConversationErrorEvent')[0], { code: 'LLMBadRequestError', detail: /names no provider/ });
});

t.test('retries wait as long as they are asked to', async (t) => {
  const slept: number[] = [];
  const clock = {
    now: () => Date.now(),
    monotonic: () => performance.now(),
    sleep: (ms: number) => (
      slept.push(ms),
      ms >= 1000 ? Promise.resolve() : new Promise<void>((resolve) => setTimeout(resolve, ms))
    ),
  };
  const s = stage(
    t,
    [
      { error: { status: 429, message: 'slow', headers: { 'retry-after': '7' } } },
      { error: { status: 500, message: 'oops' } },
      { text: 'there' },
    ],
    {
      agent: agentConfig({ base_url: model.url, num_retries: 2 }),
      clock,
    },
  );
  await s.say('go');
  t.equal(await s.run(), 'finished');
  t.equal(slept[0], 7000);
  t.ok((slept[1] ?? 0) >= 1000 && (slept[1] ?? 0) <= 2000, 'exponential with jitter');
  t.equal(s.conversation.usages.length, 1);
});

t.test('confirmation: wait, accept, reject', async (t) => {
  const policy: Partial<ConversationSettings> = {
    confirmationPolicy: { kind: 'ConfirmRisky', threshold: 'HIGH', confirm_unknown: false },
    securityAnalyzer: { kind: 'LLMSecurityAnalyzer' },
  };
  const s = stage(
    t,
    [
      { calls: [terminal('echo low', { security_risk: 'LOW' })] },
      { calls: [terminal('echo high', { security_risk: 'HIGH' })] },
      { text: 'end' },
    ],
    { settings: policy },
  );
  await s.say('go');
  t.equal(await s.run(), 'waiting_for_confirmation');
  t.strictSame(s.conversation.kinds().slice(2), [
    'ActionEvent',
    'SecurityAnalysisEvent',
    'ObservationEvent',
    'ActionEvent',
    'SecurityAnalysisEvent',
  ]);
  t.ok(model.requests[0]!.tools?.[0]?.function.parameters.properties['security_risk']);
  t.match(s.of('SecurityAnalysisEvent')[1], {
    analyzer: 'LLMSecurityAnalyzer',
    policy: 'ConfirmRisky',
    risks: { [s.of('ActionEvent')[1]!.id]: 'HIGH' },
  });
  await s.say('rather not');
  t.equal(await s.run(), 'finished', 'a run executes what waited');
  t.strictSame(s.conversation.kinds().slice(-3), ['MessageEvent', 'ObservationEvent', 'MessageEvent']);

  const r = stage(t, [{ calls: [terminal('touch never')] }], {
    settings: { confirmationPolicy: { kind: 'AlwaysConfirm' } },
  });
  await r.say('go');
  t.equal(await r.run(), 'waiting_for_confirmation');
  t.equal(await r.runtime.rejectPending(r.conversation, 'no'), 1);
  t.match(r.of('UserRejectObservation')[0], {
    rejection_reason: 'no',
    rejection_source: 'user',
    action_id: r.of('ActionEvent')[0]!.id,
  });
  t.equal(await r.runtime.rejectPending(r.conversation, 'no'), 0);
  model.script({ text: 'then not' });
  t.equal(await r.run(), 'finished');
  t.match(model.requests.at(-1)!.messages.at(-1), { role: 'tool', content: 'The user rejected this action: no' });
});

t.test('pause finishes the step; interrupt does not', async (t) => {
  const pause = new AbortController();
  let open: (value?: unknown) => void = () => undefined;
  const held = stage(t, [
    { hold: new Promise((resolve) => (open = resolve)), calls: [terminal('echo late')] },
    finish('x'),
  ]);
  await held.say('go');
  const running = held.run({ pause: pause.signal });
  while (model.requests.length === 0) await new Promise((resolve) => setImmediate(resolve));
  pause.abort();
  open();
  t.equal(await running, 'paused');
  t.equal(held.of('ObservationEvent').length, 1);
  t.equal(await held.run(), 'finished');

  let answer: (value?: unknown) => void = () => undefined;
  const spoken = stage(t, [{ hold: new Promise((resolve) => (answer = resolve)), text: 'first' }, { text: 'second' }]);
  await spoken.say('go');
  const answering = spoken.run();
  while (model.requests.length === 0) await new Promise((resolve) => setImmediate(resolve));
  await spoken.say('and another thing');
  answer();
  t.equal(await answering, 'finished');
  t.equal(model.requests.length, 2, 'what the user said meanwhile is answered too');

  const stopAsk = new AbortController();
  const asking = stage(t, [{ hold: new Promise(() => undefined), text: 'never' }]);
  await asking.say('go');
  const asked = asking.run({ interrupt: stopAsk.signal });
  while (model.requests.length === 0) await new Promise((resolve) => setImmediate(resolve));
  stopAsk.abort(new Error('interrupt'));
  t.equal(await asked, 'interrupted');
  t.strictSame(asking.conversation.kinds(), ['SystemPromptEvent', 'MessageEvent']);

  const stopTool = new AbortController();
  const busy = stage(t, [{ calls: [terminal('echo up > started; sleep 100', { timeout: 90 }), terminal('echo not')] }]);
  await busy.say('go');
  const worked = busy.run({ interrupt: stopTool.signal });
  while (busy.of('ActionEvent').length < 2) await new Promise((resolve) => setImmediate(resolve));
  stopTool.abort(new Error('interrupt'));
  t.equal(await worked, 'interrupted');
  t.equal(busy.of('AgentErrorEvent').length, 2);
  t.match(busy.of('AgentErrorEvent')[0], { error: /interrupted before completion/ });
});
