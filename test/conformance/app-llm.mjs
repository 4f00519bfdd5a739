#!/usr/bin/env node
// A scripted OpenAI-compatible endpoint on loopback. The newest user message with a marker [[name key=value ...]]
// chooses a script; each tool result since then moves it one step on. Without a marker it answers with plain text.
// node app-llm.mjs [port]
import http from 'node:http';
import { buffer } from 'node:stream/consumers';

const port = Number(process.argv[2] ?? 3902);
const term = (command, extra = {}) => [
  'terminal',
  { command, summary: `run ${command.slice(0, 30)}`, security_risk: 'LOW', ...extra },
];
const write = (path, file_text) => [
  'file_editor',
  { command: 'create', path, file_text, summary: `write ${path}`, security_risk: 'LOW' },
];
const finish = (message) => ['finish', { message, summary: 'finish', security_risk: 'LOW' }];

const SCRIPTS = {
  basic: ({ dir = '/workspace/project' }) => [
    term(`mkdir -p ${dir} && cd ${dir} && echo hello-from-terminal | tee hello.txt`),
    write(`${dir}/notes.md`, '# Notes\n\nwritten by the scripted model\n'),
    finish('All done: hello.txt and notes.md are there.'),
  ],
  slow: ({ s = '60' }) => [
    term(`for i in $(seq ${s}); do echo tick $i; sleep 1; done`, { timeout: 120 }),
    finish('slept'),
  ],
  serve: ({ port = '12000' }) => [
    term(
      `mkdir -p /tmp/site && echo '<h1>served app</h1>' > /tmp/site/index.html && (cd /tmp/site && nohup python3 -m http.server --bind 127.0.0.1 \${WORKER_1:-${port}} >/dev/null 2>&1 &) ; sleep 1; echo served`,
    ),
    finish('The app is served.'),
  ],
  echo: ({ words = 'words' }) => [term(`echo ${words}`), finish('echoed')],
  think: () => [['think', { thought: 'I think about it.', summary: 'think' }], finish('thought')],
  tasks: () => [
    [
      'task_tracker',
      {
        command: 'plan',
        task_list: [
          { title: 'first', status: 'done', notes: '' },
          { title: 'second', status: 'todo', notes: '' },
        ],
        summary: 'plan',
        security_risk: 'LOW',
      },
    ],
    finish('planned'),
  ],
  error: () => [['!status', 401]],
  broken: () => [['!status', 500]],
};

let n = 0;
http
  .createServer(async (req, res) => {
    const send = (status, body) => {
      res.writeHead(status, { 'content-type': 'application/json' });
      res.end(JSON.stringify(body));
    };
    if (req.url.endsWith('/models'))
      return send(200, { object: 'list', data: [{ id: 'scripted', object: 'model', owned_by: 'us' }] });
    if (!req.url.endsWith('/chat/completions')) return send(404, { error: { message: 'no such route' } });
    const body = JSON.parse((await buffer(req)).toString('utf8') || '{}');
    const said = (m) =>
      typeof m.content === 'string' ? m.content : (m.content ?? []).map((c) => c.text ?? '').join(' ');
    const messages = body.messages ?? [];
    let step = 0,
      script;
    for (let i = messages.length - 1; i >= 0; i--) {
      if (messages[i].role === 'tool') step++;
      const mark = messages[i].role === 'user' && said(messages[i]).match(/\[\[(\w+)([^\]]*)\]\]/);
      if (messages[i].role === 'user' && !mark && said(messages[i]).length < 400 && i === messages.length - 1) break;
      if (!mark) continue;
      const args = Object.fromEntries([...mark[2].matchAll(/(\w+)=(\S+)/g)].map(([, k, v]) => [k, v]));
      script = SCRIPTS[mark[1]]?.(args);
      break;
    }
    const next = body.tools?.length && script?.[Math.min(step, script.length - 1)];
    if (process.env.VERBOSE)
      console.log(
        messages.length,
        'messages',
        (body.tools ?? []).map((t) => t.function?.name).join(','),
        '->',
        next?.[0] ?? 'text',
      );
    if (next?.[0] === '!status')
      return send(next[1], { error: { message: `scripted ${next[1]}`, type: 'scripted', code: String(next[1]) } });
    const message = {
      role: 'assistant',
      content: next ? null : body.tools?.length ? 'Scripted answer without a tool.' : 'Scripted title',
    };
    if (next)
      message.tool_calls = [
        { id: `call_${++n}`, type: 'function', function: { name: next[0], arguments: JSON.stringify(next[1]) } },
      ];
    const usage = { prompt_tokens: 100, completion_tokens: 10, total_tokens: 110 };
    const head = { id: `cmpl-${++n}`, created: Math.floor(Date.now() / 1000), model: body.model };
    if (!body.stream)
      return send(200, {
        ...head,
        object: 'chat.completion',
        usage,
        choices: [{ index: 0, message, finish_reason: next ? 'tool_calls' : 'stop' }],
      });
    res.writeHead(200, { 'content-type': 'text/event-stream' });
    const chunk = (delta, finish_reason = null) =>
      res.write(
        `data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', usage: finish_reason ? usage : undefined, choices: [{ index: 0, delta, finish_reason }] })}\n\n`,
      );
    chunk(next ? { role: 'assistant', tool_calls: message.tool_calls.map((c, index) => ({ index, ...c })) } : message);
    chunk({}, next ? 'tool_calls' : 'stop');
    res.end('data: [DONE]\n\n');
  })
  .listen(port, '127.0.0.1', () => console.log(`llm on http://127.0.0.1:${port}/v1`));
