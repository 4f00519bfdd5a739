/** Pure parts of the loop, and the models behind it. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { systemClock } from '../../process/clock.js';
import { fileEditorDefinition } from '../tools/files/tool.js';
import { taskTrackerDefinition } from '../tools/task-tracker.js';
import { terminalDefinition } from '../tools/terminal/tool.js';
import { text } from '../tools/tool.js';
import { batchesOf } from './actions.js';
import { parseCall } from './arguments.js';
import { mustConfirm } from './confirmation.js';
import { llmError, retryAfterMs } from './llm/errors.js';
import { nextStep } from './llm/line-runner.js';
import { commandsOf } from './llm/lines.js';
import { endpointOf } from './llm/names.js';
import { createProviderLlm } from './llm/provider.js';
import { retryDelay } from './llm/retry.js';
import type { LlmMessage } from './llm/types.js';
import { pythonJson, pythonJsonError, pythonRepr } from './python-json.js';
import { shortTitle } from './side.js';
import { isStuck } from './stuck.js';
import { llmConfig } from './testing/conversation.js';
import type { ViewEvent } from './view.js';

t.test("JSON and its errors as Python's", (t) => {
  t.equal(
    pythonJson({ a: [1, 'x', null, { b: true }], u: undefined, é: '✓' }),
    '{"a": [1, "x", null, {"b": true}], "é": "✓"}',
  );
  const errors: [string, string | undefined][] = [
    ['{"a": 1}', undefined],
    [' [1, 2.5e3, "\\u00e9", {}] ', undefined],
    ['{"command": "ls', 'Unterminated string starting at: line 1 column 13 (char 12)'],
    ['', 'Expecting value: line 1 column 1 (char 0)'],
    ['{"a": }', 'Expecting value: line 1 column 7 (char 6)'],
    ['{a: 1}', 'Expecting property name enclosed in double quotes: line 1 column 2 (char 1)'],
    ['{"a" 1}', "Expecting ':' delimiter: line 1 column 6 (char 5)"],
    ['{"a": 1 "b": 2}', "Expecting ',' delimiter: line 1 column 9 (char 8)"],
    ['{"a": 1}\n x', 'Extra data: line 2 column 2 (char 10)'],
    ['["a\nb"]', 'Invalid control character at: line 1 column 4 (char 3)'],
    ['["\\q"]', 'Invalid \\escape: line 1 column 3 (char 2)'],
    ['[1,]', 'Illegal trailing comma before end of array: line 1 column 3 (char 2)'],
  ];
  for (const [source, error] of errors) t.equal(pythonJsonError(source), error, JSON.stringify(source));
  t.match(pythonJsonError('['.repeat(100_000)), /Too many nested/, 'deep nesting is refused, not a crash');
  t.equal(pythonRepr({ a: true, b: null, c: "it's" }), "{'a': True, 'b': None, 'c': \"it's\"}");
  t.end();
});

t.test('calls', (t) => {
  const good = parseCall(terminalDefinition, '{"summary":"s","security_risk":"HIGH","command":"ls"}');
  t.strictSame(good, {
    ok: true,
    action: { command: 'ls', is_input: false, timeout: null, reset: false, kind: 'TerminalAction' },
    arguments: '{"summary": "s", "security_risk": "HIGH", "command": "ls"}',
    summary: 's',
    risk: 'HIGH',
  });
  const inferred = parseCall(fileEditorDefinition, '{"path":"/x","summary":"s"}');
  t.match(inferred, {
    ok: true,
    arguments: '{"command": "view", "path": "/x", "summary": "s"}',
    action: { command: 'view', path: '/x', kind: 'FileEditorAction' },
  });
  t.match(parseCall(fileEditorDefinition, '{"path":"/x","old_str":"a"}'), {
    ok: true,
    action: { command: 'str_replace' },
  });
  t.match(parseCall(taskTrackerDefinition, '{"command":"plan","task_list":"[{\\"title\\":\\"x\\"}]"}'), {
    ok: true,
    action: { task_list: [{ title: 'x', notes: '', status: 'todo' }] },
  });
  const wrong: [string, RegExp][] = [
    ['{"command": "ls', /^Error validating tool 'terminal': Unterminated string .* Arguments: unparseable JSON$/],
    ['[1]', /must be a JSON object, not list/],
    [
      '',
      /1 validation error for TerminalAction\ncommand\n {2}Field required \[type=missing, input_value=\{\}, input_type=dict\]/,
    ],
    [
      '{"command":1,"x":true}',
      /2 validation errors for TerminalAction\ncommand\n {2}Input should be a valid string \[type=string_type, input_value=1, input_type=int\][\s\S]*x\n {2}Extra inputs are not permitted \[type=extra_forbidden, input_value=True, input_type=bool\][\s\S]*Parameters provided: \['command', 'x'\]$/,
    ],
  ];
  for (const [raw, error] of wrong) {
    const parsed = parseCall(terminalDefinition, raw);
    t.notOk(parsed.ok);
    if (!parsed.ok) t.match(parsed.error, error);
  }
  const bad = parseCall(terminalDefinition, '{"command":"ls","nonsense":true}');
  t.equal(bad.arguments, '{"command":"ls","nonsense":true}', 'kept byte for byte');
  t.match(parseCall(fileEditorDefinition, '{"command":"fly","path":"/x"}'), {
    ok: false,
    error:
      /Input should be 'view', 'create', 'str_replace', 'insert' or 'undo_edit' \[type=literal_error, input_value='fly', input_type=str\]/,
  });
  t.end();
});

t.test('small decisions', (t) => {
  t.strictSame(batchesOf([1, 2, 30, 4, 5, 6], { limit: 2, parallel: (n) => n < 10 }), [[1, 2], [30], [4, 5], [6]]);
  t.strictSame(batchesOf([1, 2], { limit: 1, parallel: () => true }), [[1], [2]]);
  const policies: [Parameters<typeof mustConfirm>[0], boolean[]][] = [
    [{ kind: 'NeverConfirm' }, [false, false, false, false]],
    [{ kind: 'AlwaysConfirm' }, [true, true, true, true]],
    [{ kind: 'ConfirmRisky' }, [true, false, false, true]],
    [{ kind: 'ConfirmRisky', threshold: 'MEDIUM', confirm_unknown: false }, [false, false, true, true]],
  ];
  for (const [policy, expected] of policies)
    t.strictSame(
      (['UNKNOWN', 'LOW', 'MEDIUM', 'HIGH'] as const).map((risk) => mustConfirm(policy, risk)),
      expected,
    );
  t.equal(shortTitle('  Make me\n a   sandwich ', 50), 'Make me a sandwich');
  t.equal(shortTitle('😀😀😀😀', 3), '😀😀…');
  const policy = { retries: 5, multiplier: 8, minWait: 8, maxWait: 64 };
  t.strictSame(
    [1, 2, 3, 4, 5].map((attempt) => retryDelay(policy, { attempt, random: 1 })),
    [8000, 16000, 32000, 64000, 64000],
  );
  t.equal(retryDelay(policy, { attempt: 1, random: 0, retryAfterMs: 30_000 }), 30_000);
  t.equal(retryAfterMs({ 'retry-after': '3' }, 0), 3000);
  t.equal(retryAfterMs({ 'retry-after': 'Thu, 01 Jan 1970 00:00:09 GMT' }, 4000), 5000);
  t.equal(retryAfterMs({ 'retry-after': 'soon' }, 0), undefined);
  t.match(llmError({ message: 'prompt is too long: 9 tokens', status: 400, provider: 'Anthropic' }, 0), {
    code: 'LLMContextWindowExceedError',
    details: { context: true },
  });
  t.match(llmError({ message: 'x', provider: 'OpenAI', timedOut: true }, 0), {
    code: 'LLMTimeoutError',
    details: { retryable: true },
  });
  t.end();
});

t.test('where a model lives', (t) => {
  const table: [string, string | null, string, string, string][] = [
    ['openai/gpt-5', null, 'openai', 'https://api.openai.com/v1', 'gpt-5'],
    ['openai/scripted', 'http://x/v1/', 'openai', 'http://x/v1', 'scripted'],
    ['litellm_proxy/anthropic/claude-x', 'http://proxy', 'openai', 'http://proxy', 'anthropic/claude-x'],
    ['openrouter/qwen/qwen3', null, 'openai', 'https://openrouter.ai/api/v1', 'qwen/qwen3'],
    ['anthropic/claude-x', null, 'anthropic', 'https://api.anthropic.com/v1', 'claude-x'],
    ['anthropic/claude-x', 'https://gw.example', 'anthropic', 'https://gw.example/v1', 'claude-x'],
    ['claude-x', '', 'anthropic', 'https://api.anthropic.com/v1', 'claude-x'],
    ['meta/llama', 'http://vllm:8000/v1', 'openai', 'http://vllm:8000/v1', 'meta/llama'],
  ];
  for (const [model, base_url, api, baseUrl, name] of table)
    t.match(endpointOf({ model, base_url }), { api, baseUrl, model: name });
  for (const model of ['llama', 'litellm_proxy/x', 'openai/']) t.throws(() => endpointOf({ model, base_url: null }));
  t.end();
});

t.test('line-runner: what it makes of a message', (t) => {
  const table: [string, string[]][] = [
    ['ls', ['ls']],
    ['mkdir a\n\n# note\ncd a\nls', ['mkdir a', 'cd a', 'ls']],
    ['Please run\n$ npm i\nand then\n  $ npm start', ['npm i', 'npm start']],
    [
      'Do this:\n```bash\nfor i in 1 2; do\n  echo $i\ndone\n```\nand\n```\nls\n```',
      ['for i in 1 2; do\n  echo $i\ndone', 'ls'],
    ],
    ["cat > f <<'EOF'\n# it's\n\n$ hi\nEOF\ncat f", ["cat > f <<'EOF'\n# it's\n\n$ hi\nEOF", 'cat f']],
    ['Write this:\n$ cat > f <<EOF\nhi\nEOF\n$ node f', ['cat > f <<EOF\nhi\nEOF', 'node f']],
    ["echo 'a\nb'\nls", ["echo 'a\nb'", 'ls']],
    ['npm i && \\\n  npm test\nls | \nwc', ['npm i && \\\n  npm test', 'ls |\nwc']],
    ['for i in 1 2; do\n  echo $i\ndone\nls', ['for i in 1 2; do\n  echo $i\ndone\nls']],
    ["Don't do that", ["Don't do that"]],
    ["echo it\\'s\nls", ["echo it\\'s", 'ls']],
    ['', []],
  ];
  for (const [message, commands] of table) t.strictSame(commandsOf(message), commands, JSON.stringify(message));

  const messages: LlmMessage[] = [
    { role: 'user', content: [text('sleep 1\nnode app.js\nls')], extra: [text('rm -rf /')] },
  ];
  const step = (report: string): ReturnType<typeof nextStep> => {
    const { id, tool, args } = nextStep(messages);
    messages.push({
      role: 'assistant',
      text: '',
      reasoning: null,
      thinkingBlocks: [],
      toolCalls: [{ id, name: tool, arguments: JSON.stringify(args) }],
    });
    messages.push({ role: 'tool', toolCallId: id, toolName: tool, content: [text(report)] });
    return nextStep(messages);
  };
  const say = (words: string): void => void messages.push({ role: 'user', content: [text(words)] });
  t.match(nextStep(messages), { tool: 'terminal', args: { command: 'sleep 1' } });
  t.match(
    step('\n[The command is still running after 120 seconds.]'),
    { tool: 'terminal', args: { command: '' } },
    'it waits',
  );
  t.match(step('\n[The command completed with exit code 0.]'), { args: { command: 'node app.js' } });
  t.match(
    step('up\n[The command is still running and printed nothing new for 2 seconds. It listens on port 8011.]'),
    { args: { command: 'ls' } },
    'an app is left running',
  );
  say('pwd');
  t.match(
    step('a\n[The command completed with exit code 1.]'),
    { args: { command: 'pwd' } },
    'what was said meanwhile comes after it',
  );
  t.match(step('/\n[The command completed with exit code 0.]'), {
    tool: 'finish',
    args: {
      message:
        '- `sleep 1`: done\n- `node app.js`: still running in the background, listening on port 8011\n- `ls`: exit code 1\n- `pwd`: done',
    },
  });
  step('said');
  say('nonsense please\nls');
  t.match(nextStep(messages), { args: { command: 'nonsense please' } });
  t.match(
    step('Error: Tool call interrupted before completion. The conversation was paused.'),
    { tool: 'finish' },
    'an interrupt ends the message',
  );
  step('said');
  say('nonsense please');
  t.match(step('bash: nonsense: command not found\n[The command completed with exit code 127.]'), {
    tool: 'finish',
    args: { message: /no intelligence/ },
  });
  step('said');
  say('pwd');
  messages.push({ role: 'assistant', text: 'I am another model.', reasoning: null, thinkingBlocks: [], toolCalls: [] });
  say('date');
  t.match(nextStep(messages), { args: { command: 'date' } }, 'what another model answered is not run');
  t.end();
});

t.test('circles', (t) => {
  const step = (n: number, command: string, result: string): ViewEvent[] => {
    const base = { timestamp: '', source: 'agent' as const, tool_name: 'terminal', tool_call_id: `c${n}` };
    return [
      {
        ...base,
        id: `a${n}`,
        kind: 'ActionEvent',
        thought: [],
        thinking_blocks: [],
        action: { kind: 'TerminalAction', command },
        tool_call: { id: `c${n}`, name: 'terminal', arguments: '{}', origin: 'completion' },
        llm_response_id: `r${n}`,
        security_risk: 'UNKNOWN',
      },
      {
        ...base,
        id: `o${n}`,
        kind: 'ObservationEvent',
        observation: { kind: 'TerminalObservation', content: [text(result)], is_error: false },
        action_id: `a${n}`,
        extended_content: [],
      },
    ];
  };
  const steps = (...each: [string, string][]): ViewEvent[] =>
    each.flatMap(([command, result], n) => step(n, command, result));
  const user: ViewEvent = {
    id: 'u',
    timestamp: '',
    source: 'user',
    kind: 'MessageEvent',
    llm_message: { role: 'user', content: [] },
    activated_skills: [],
    extended_content: [],
  };
  const same: [string, string] = ['ls', 'x'];
  t.equal(isStuck(steps(same, same, same)), false);
  t.equal(isStuck(steps(same, same, same, same)), true);
  t.equal(isStuck(steps(same, same, same, ['ls', 'y'])), false);
  t.equal(isStuck([...steps(same, same, same), user, ...step(9, 'ls', 'x')]), false, 'the user spoke');
  t.equal(
    isStuck(steps(...Array.from({ length: 6 }, (_, n): [string, string] => [n % 2 === 0 ? 'a' : 'b', 'x']))),
    true,
  );
  t.equal(
    isStuck(steps(...Array.from({ length: 9 }, (): [string, string] => ['', 'still']))),
    false,
    'waiting is no circle',
  );
  t.end();
});

t.test('Anthropic: tools, thoughts, cache, errors', async (t) => {
  const bodies: Record<string, unknown>[] = [];
  let fail = false;
  const server = createServer((request, response) => {
    let raw = '';
    request.on('data', (chunk) => (raw += String(chunk)));
    request.on('end', () => {
      bodies.push({ ...(JSON.parse(raw) as object), path: request.url, key: request.headers['x-api-key'] });
      response.writeHead(fail ? 529 : 200, { 'content-type': 'application/json' });
      if (fail)
        return response.end(
          JSON.stringify({ type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } }),
        );
      const content = [
        { type: 'thinking', thinking: 'let me see', signature: 'sig' },
        { type: 'text', text: 'I look.' },
        { type: 'tool_use', id: 'toolu_1', name: 'terminal', input: { command: 'ls' } },
      ];
      return response.end(
        JSON.stringify({
          type: 'message',
          id: 'msg_1',
          model: 'claude-x',
          role: 'assistant',
          content,
          stop_reason: 'tool_use',
          stop_sequence: null,
          usage: { input_tokens: 20, output_tokens: 5, cache_read_input_tokens: 7, cache_creation_input_tokens: 3 },
        }),
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const config = llmConfig({
    model: 'anthropic/claude-x',
    api_key: 'sk-a',
    base_url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    input_cost_per_token: 0.1,
    output_cost_per_token: 1,
  });
  const llm = createProviderLlm(config, { clock: systemClock });
  const tools = [
    { name: 'terminal', description: 'd', parameters: { type: 'object', properties: { command: { type: 'string' } } } },
  ];
  const question: LlmMessage[] = [
    { role: 'system', text: 'be good' },
    { role: 'user', content: [text('go')] },
  ];
  const first = await llm.complete({ messages: question, tools }, { signal: new AbortController().signal });
  t.match(first, {
    id: 'msg_1',
    text: 'I look.',
    reasoning: 'let me see',
    thinkingBlocks: [{ type: 'thinking', thinking: 'let me see', signature: 'sig' }],
    toolCalls: [{ id: 'toolu_1', name: 'terminal', arguments: '{"command":"ls"}' }],
  });
  t.match(first.usage, {
    responseId: 'msg_1',
    costUsd: 8,
    tokens: { prompt_tokens: 30, completion_tokens: 5, cache_read_tokens: 7, cache_write_tokens: 3 },
  });
  t.match(bodies[0], {
    path: '/v1/messages',
    key: 'sk-a',
    model: 'claude-x',
    system: [{ text: 'be good', cache_control: { type: 'ephemeral' } }],
  });
  const answer: LlmMessage = {
    role: 'assistant',
    text: first.text,
    reasoning: first.reasoning,
    thinkingBlocks: first.thinkingBlocks,
    toolCalls: first.toolCalls,
  };
  await llm.complete(
    {
      messages: [
        ...question,
        answer,
        { role: 'tool', toolCallId: 'toolu_1', toolName: 'terminal', content: [text('a.txt')] },
      ],
      tools,
    },
    { signal: new AbortController().signal },
  );
  t.match(bodies[1]?.['messages'], [
    { role: 'user' },
    {
      role: 'assistant',
      content: [
        { type: 'thinking', signature: 'sig' },
        { type: 'text' },
        { type: 'tool_use', id: 'toolu_1', input: { command: 'ls' } },
      ],
    },
    { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'toolu_1' }] },
  ]);
  fail = true;
  const refused = llm.complete({ messages: question, tools }, { signal: new AbortController().signal });
  await t.rejects(refused, { code: 'LLMServiceUnavailableError', message: /Overloaded/ });
});
