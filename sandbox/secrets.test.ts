/** Whoever reads what leaves the server finds no secret in it: looked for in everything that a run with all of them tells. */
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { startModel } from './agent/testing/model.js';
import { createStreamMask } from './masking.js';
import { caller, folder, lineRunner, listen, says, startChild, statusOf, until } from './testing/server.js';

const secret = (name: string): string => `${name}-${randomBytes(12).toString('hex')}`;

t.test('pieces of a text: a value is hidden wherever it is split, and nothing else is lost', async (t) => {
  const values = ['abab', 'secret-1', 'secret-1-longer', 'ret-x'];
  const whole = 'abababa secret-1-long secret-1 secret-1-longer secret secret-x abaabab ab';
  const masked = 'X' + 'aba X-long X X secret secX abaX ab';
  for (let size = 1; size <= whole.length; size++) {
    const mask = createStreamMask(() => values);
    let shown = '';
    for (let at = 0; at < whole.length; at += size) shown += mask.push(whole.slice(at, at + size));
    t.equal((shown + mask.end()).replaceAll('<secret-hidden>', 'X'), masked, `in pieces of ${size}`);
  }
});

t.test('no secret in events, deltas, webhooks, answers, logs and files', async (t) => {
  const kept = {
    token: secret('token'),
    looked: secret('looked'),
    llm: secret('sk'),
    session: secret('session'),
    server: secret('server'),
    hook: secret('hook'),
    mcp: secret('mcp'),
    clone: secret('ghp'),
  };
  const dir = folder(t);
  const model = await startModel();
  t.teardown(() => model.close());
  const told: string[] = [];
  const other = createServer((request, response) => {
    if (request.url === '/secret') return response.end(kept.looked);
    let body = '';
    request.on('data', (chunk) => (body += String(chunk)));
    request.on('end', () => {
      if (request.url?.startsWith('/hook') === true) told.push(body);
      // What refuses a call may repeat what it was called with.
      response.writeHead(request.url?.startsWith('/hook') === true ? 200 : 401);
      response.end(`no: ${JSON.stringify(request.headers)}`);
    });
  });
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  t.teardown(() => void (other.closeAllConnections(), other.close()));
  const receiver = `http://127.0.0.1:${(other.address() as AddressInfo).port}`;
  const { child, url } = await startChild(
    dir,
    {
      LOG_LEVEL: 'trace',
      OH_SESSION_API_KEYS_0: kept.session,
      OH_SECRET_KEY: kept.server,
      OH_WEBHOOKS_0_BASE_URL: `${receiver}/hook`,
      OH_WEBHOOKS_0_HEADERS: JSON.stringify({ 'X-Hook-Key': kept.hook }),
      OH_WEBHOOKS_0_EVENT_BUFFER_SIZE: '1',
    },
    { output: 'pipe' },
  );
  t.teardown(() => child.kill('SIGKILL'));
  let log = '';
  child.stdout?.on('data', (data) => (log += String(data)));
  child.stderr?.on('data', (data) => (log += String(data)));
  const call = caller(url, kept.session);

  // What was not looked up yet, or is another's, no agent can know.
  const all = [kept.token, kept.llm, kept.session, kept.server, kept.hook, kept.mcp].join(' and ');
  const split = `printf %s "\${TOKEN:0:9}"; sleep 0.3; printf %s "\${TOKEN:9}"; echo; tr '\\0' '\\n' < /proc/${child.pid}/environ; echo "$LOOKED $TOKEN"`;
  model.script(
    {
      text: `I know ${all}.`,
      reasoning: `I think of ${all}.`,
      calls: [{ tool: 'terminal', args: { command: split } }],
    },
    { text: 'looking', calls: [{ tool: 'terminal', args: { command: `echo ${all} and ${kept.looked}` } }] },
    { text: 'wrong', calls: [{ tool: all, raw: `{"command": "${all}` }] },
    { error: { status: 401, message: `Incorrect API key provided: ${all}` } },
  );
  const agent = {
    llm: {
      model: 'openai/scripted',
      api_key: kept.llm,
      base_url: model.url,
      stream: true,
      num_retries: 0,
      log_completions: true,
    },
    tools: [{ name: 'terminal' }],
    mcp_config: {
      mcpServers: { tracker: { url: `${receiver}/mcp`, headers: { Authorization: `Bearer ${kept.mcp}` } } },
    },
  };
  const secrets = {
    TOKEN: kept.token,
    LOOKED: { kind: 'LookupSecret', url: `${receiver}/secret`, headers: { 'X-Key': kept.hook } },
  };
  const made = await call('POST', '/api/conversations', lineRunner({ agent, secrets }));
  const { id } = made.body as { id: string };
  const { frames, socket } = await listen(url, `/sockets/events/${id}`, kept.session);
  await call('POST', `/api/conversations/${id}/events`, says('use $TOKEN and $LOOKED'));
  await until(
    () => statusOf(call, id),
    (status) => status === 'error' || status === 'finished',
  );
  const clone = `git clone https://x-access-token:${kept.clone}@127.0.0.1:1/a/b.git; echo ${kept.clone}; cat /proc/$PPID/environ | tr '\\0' ' '`;
  const answers = [
    made,
    await call('POST', '/api/bash/execute_bash_command', { command: clone }),
    ...(await Promise.all(
      [
        `/api/conversations/${id}`,
        '/api/conversations/search',
        `/api/conversations/${id}/events/search?limit=100`,
        '/api/bash/bash_events/search',
        '/api/settings',
        '/api/settings/secrets',
        '/server_info',
        `/api/file/download-trajectory/${id}`,
      ].map((path) => call('GET', path)),
    )),
    await call('POST', '/api/conversations', {
      agent: { llm: { api_key: kept.llm, model: 7 } },
      secrets: { X: [kept.token] },
    }),
  ];
  await until(
    () => Promise.resolve(told.join('')),
    (text) => text.includes('ConversationErrorEvent'),
  );
  socket.terminate();
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await ended;

  const deltas = frames.filter((frame) => frame['kind'] === 'StreamingDeltaEvent');
  const spoken = ['content', 'reasoning_content'].map((name) => deltas.map((delta) => delta[name] ?? '').join(''));
  t.match(
    spoken,
    [/I know <secret-hidden> and /, /I think of <secret-hidden> and /],
    'deltas came, with what is hidden',
  );
  t.ok(deltas.length > 10, 'in pieces');
  t.match(JSON.stringify(frames), /ConversationErrorEvent/);
  const files = (at: string): string[] =>
    readdirSync(at, { withFileTypes: true, recursive: true })
      .filter((entry) => entry.isFile() && !entry.parentPath.includes('observations'))
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'));
  const places: Record<string, string> = {
    sockets: JSON.stringify(frames),
    'deltas, joined': spoken.join('\n'),
    webhooks: told.join('\n'),
    answers: JSON.stringify(answers.map(({ body }) => body)),
    'the log': log,
    'files of conversations': files(join(dir, 'conversations')).join('\n'),
    'files of commands': files(join(dir, 'bash')).join('\n'),
  };
  for (const [place, text] of Object.entries(places)) {
    t.ok(text.length > 0, `${place}: there is something`);
    for (const [name, value] of Object.entries(kept)) {
      const at = text.indexOf(value);
      t.equal(at < 0 ? '' : text.slice(Math.max(0, at - 300), at), '', `${place}: ${name}`);
    }
  }
});
