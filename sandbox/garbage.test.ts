/** A model that answers garbage: each ends in an event that a person understands, and the server lives in bounded memory. */
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { peakMemory } from './testing/memory.js';
import { caller, folder, lineRunner, says, startChild, statusOf, until, type Call } from './testing/server.js';

type Reply = (response: ServerResponse) => void;
interface Page {
  items: {
    kind: string;
    code?: string;
    detail?: string;
    error?: string;
    llm_message?: { content: { text: string }[] };
  }[];
}

const MIB = 1 << 20;
const sse = (delta: unknown, finish: string | null = null): string =>
  `data: ${JSON.stringify({ id: 'r', object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
const with200 =
  (type: string, body: string | Buffer): Reply =>
  (response) => {
    response.writeHead(200, { 'content-type': type });
    response.end(body);
  };
const completion = (message: unknown): string =>
  JSON.stringify({ id: 'r', choices: [{ index: 0, message, finish_reason: 'stop' }], usage: {} });
/** Writes a piece again and again, as fast as it is taken, until the reader goes. */
const endless =
  (type: string, piece: string, head = ''): Reply =>
  (response) => {
    response.writeHead(200, { 'content-type': type });
    response.write(head);
    const pump = (): void => {
      while (!response.destroyed && response.write(piece));
    };
    response.on('drain', pump);
    pump();
  };

/** What the model answers, whether it streams, and what the error must say. */
const CASES: { name: string; reply: Reply; stream?: boolean; says: RegExp }[] = [
  {
    name: 'a page of HTML with 200',
    reply: with200('text/html', '<html><h1>Welcome to nginx</h1></html>'),
    says: /text\/html/,
  },
  {
    name: 'a page of HTML with 200 to a stream',
    stream: true,
    reply: with200('text/html', '<html><h1>Welcome to nginx</h1></html>'),
    says: /text\/html/,
  },
  {
    name: 'broken JSON',
    reply: with200('application/json', '{"choices": [{"mess'),
    says: /JSON|not.*understand|invalid/i,
  },
  {
    name: 'JSON of another form',
    reply: with200('application/json', '{"hello":"world"}'),
    says: /cannot be understood/,
  },
  { name: 'nothing', reply: with200('application/json', ''), says: /empty|JSON|neither/i },
  { name: 'no choice', reply: with200('application/json', '{"id":"r","choices":[]}'), says: /neither|choice/i },
  {
    name: 'null in all places',
    reply: with200(
      'application/json',
      '{"id":null,"choices":[{"message":{"role":"assistant","content":null,"tool_calls":null},"finish_reason":null}],"usage":null}',
    ),
    says: /neither/,
  },
  {
    name: 'bytes',
    reply: with200('application/octet-stream', Buffer.from([0, 255, 254, 1, 2, 3])),
    says: /octet-stream/,
  },
  {
    name: 'a stream that is cut in an event',
    stream: true,
    reply: (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(sse({ content: 'half' }) + 'data: {"id":"r","cho', () => response.destroy());
    },
    says: /connection was cut/,
  },
  {
    name: 'a stream that ends without its end',
    stream: true,
    reply: with200('text/event-stream', sse({ content: 'half' })),
    says: /stream ended before/,
  },
  {
    name: 'a stream of broken JSON',
    stream: true,
    reply: with200('text/event-stream', 'data: {nonsense}\n\ndata: [DONE]\n\n'),
    says: /JSON/,
  },
  {
    name: 'an empty stream',
    stream: true,
    reply: with200('text/event-stream', 'data: [DONE]\n\n'),
    says: /stream ended before/,
  },
  { name: '100 MB of text', reply: endlessly100, says: /larger|too large|MiB/i },
  {
    name: '100 MB in one line of a stream',
    stream: true,
    reply: endless('text/event-stream', 'x'.repeat(MIB), 'data: {"id":"'),
    says: /larger|too large|MiB/i,
  },
  {
    name: 'a stream that never ends',
    stream: true,
    reply: endless('text/event-stream', sse({ content: 'more and more ' }).repeat(100)),
    says: /larger|too large|MiB/i,
  },
  {
    name: 'an error of 100 MB',
    reply: (response) => {
      response.writeHead(400, { 'content-type': 'text/plain' });
      response.write('x'.repeat(MIB));
      const pump = (): void => {
        while (!response.destroyed && response.write('x'.repeat(MIB)));
      };
      response.on('drain', pump);
      pump();
    },
    says: /400|larger|too large|MiB/i,
  },
];
function endlessly100(response: ServerResponse): void {
  endless(
    'application/json',
    'x'.repeat(MIB),
    '{"id":"r","choices":[{"message":{"role":"assistant","content":"',
  )(response);
}

async function startGarbage(t: Test): Promise<{ url: string; next(reply: Reply): void }> {
  let reply: Reply = (response) => response.end();
  const server = createServer((request, response) => {
    response.on('error', () => undefined);
    request.resume();
    request.on('end', () => reply(response));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    next: (given) => void (reply = given),
  };
}

/** Asks a new conversation for something; its events when the run is over. */
async function ask(call: Call, llm: Record<string, unknown>): Promise<Page['items']> {
  const agent = {
    llm: { model: 'openai/garbage', api_key: 'sk-garbage-key', num_retries: 0, timeout: 20, ...llm },
    tools: [{ name: 'terminal' }],
  };
  const { id } = (await call('POST', '/api/conversations', lineRunner({ agent }))).body as { id: string };
  await call('POST', `/api/conversations/${id}/events`, says('do it'));
  await until(
    () => statusOf(call, id),
    (status) => status === 'error' || status === 'finished',
  );
  return ((await call('GET', `/api/conversations/${id}/events/search?limit=100`)).body as Page).items;
}

t.test('a model that answers garbage', async (t) => {
  const model = await startGarbage(t);
  const { child, url } = await startChild(folder(t));
  t.teardown(() => child.kill('SIGKILL'));
  const call = caller(url);
  for (const each of CASES) {
    model.next(each.reply);
    const events = await ask(call, { base_url: model.url, stream: each.stream === true });
    const error = events.find((event) => event.kind === 'ConversationErrorEvent');
    t.comment(`${each.name}: ${error?.code}: ${error?.detail?.slice(0, 300)}`);
    t.match(error?.detail ?? '', each.says, each.name);
    t.ok((error?.detail?.length ?? 0) < 5000, `${each.name}: short enough to read`);
  }
  t.equal((await call('GET', '/alive')).status, 200);
  const peak = peakMemory(child.pid ?? 0);
  t.comment(`peak of ${Math.round(peak / MIB)} MiB`);
  t.ok(peak < 300 * MIB, `memory is bounded: ${Math.round(peak / MIB)} MiB`);
});

t.test('calls that are none', async (t) => {
  const model = await startGarbage(t);
  const { child, url } = await startChild(folder(t));
  t.teardown(() => child.kill('SIGKILL'));
  const call = caller(url);
  const callsOf = (name: unknown, args: unknown) => ({
    role: 'assistant',
    content: null,
    tool_calls: [{ id: 'c1', type: 'function', function: { name, arguments: args } }],
  });
  const wrong: [string, unknown, RegExp][] = [
    ['a tool that is not there', callsOf('rm_rf', '{}'), /not found. Available/],
    ['a tool named like a property of objects', callsOf('__proto__', '{}'), /not found. Available/],
    ['arguments that are no JSON', callsOf('terminal', '{"command": "ls'), /JSON|parse|valid/i],
    ['arguments that are a list', callsOf('terminal', '[1,2]'), /valid|object|dict/i],
    ['no arguments', callsOf('terminal', ''), /command|valid|JSON/i],
    ['arguments nested 50,000 deep', callsOf('terminal', '{"command":'.repeat(50_000)), /JSON|parse|valid|deep/i],
  ];
  for (const [name, message, words] of wrong) {
    let asked = 0;
    model.next((response) =>
      with200(
        'application/json',
        completion(asked++ === 0 ? message : { role: 'assistant', content: 'enough' }),
      )(response),
    );
    const events = await ask(call, { base_url: model.url });
    const error = events.find((event) => event.kind === 'AgentErrorEvent');
    t.comment(`${name}: ${error?.error?.slice(0, 300)} ${events.map((event) => event.detail ?? '').join('')}`);
    t.match(error?.error ?? '', words, name);
    t.ok((error?.error?.length ?? 0) < 5000, `${name}: short enough to read`);
    t.ok(
      events.some((event) => event.llm_message?.content[0]?.text === 'enough'),
      `${name}: the model is told and goes on`,
    );
  }
  t.equal((await call('GET', '/alive')).status, 200);
});
