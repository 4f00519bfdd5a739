/** Tools of MCP servers in the loop: real servers over stdio and HTTP, a scripted model. */
import t from 'tap';
import { fileURLToPath } from 'node:url';
import { caller, folder, startHere } from '../testing/server.js';
import { mcpServer, mcpServersOf, withSecrets } from '../tools/mcp/config.js';
import { startHttp } from '../tools/mcp/testing/server.js';
import type { Turn } from './testing/model.js';
import { agentConfig } from './testing/conversation.js';
import { startModel } from './testing/model.js';
import { finish, stageFor } from './testing/stage.js';

const model = await startModel();
const http = await startHttp('Bearer remote-token');
const stage = stageFor(model);
t.teardown(async () => {
  await model.close();
  await http.close();
});

const PROGRAM = fileURLToPath(import.meta.url).replace(/agent\/mcp\.test\.(ts|js)$/, 'tools/mcp/testing/server.$1');
const stdio = (env: Record<string, string> = {}) => ({
  command: process.execPath,
  args: PROGRAM.endsWith('.ts') ? ['--import', import.meta.resolve('tsx'), PROGRAM] : [PROGRAM],
  env,
});
const agent = (servers: Record<string, unknown>) => agentConfig({ base_url: model.url }, { mcp_config: servers });
const call = (tool: string, args: object = {}): Turn => ({ calls: [{ tool, args }] });
const said = (observation: { content: { type: string; text?: string }[] }) =>
  observation.content.map((part) => part.text ?? part.type);

t.test('one server over stdio: schema, call, secrets, own summary, pictures, errors, new tools', async (t) => {
  const s = stage(
    t,
    [
      call('create_issue', { summary: 'mend $SHED', points: 3 }),
      call('picture', { summary: 'look' }),
      call('fails'),
      call('create_issue', { points: 1 }),
      call('learn'),
      call('learnt'),
      finish('ok'),
    ],
    { agent: agent({ jira: stdio({ SUITE_TOKEN: '$TRACKER' }) }), secrets: { TRACKER: 'tr-secret', SHED: 'garden' } },
  );
  await s.say('go');
  t.equal(await s.run(), 'finished');
  const [first, second, third, learnt] = s.of('ObservationEvent').map((event) => event.observation);
  t.match(first, { kind: 'MCPToolObservation', tool_name: 'create_issue', is_error: false });
  t.strictSame(said(first!), [
    "[Tool 'create_issue' executed.]",
    'made: mend <secret-hidden> (3 points, token <secret-hidden>)',
  ]);
  t.strictSame(second?.content[1], {
    cache_prompt: false,
    type: 'image',
    image_urls: [(second?.content[1] as { image_urls: string[] }).image_urls[0]],
  });
  t.match(third, { is_error: true });
  t.strictSame(said(learnt!), ["[Tool 'learn' executed.]", 'ok']);
  const [action] = s.of('ActionEvent');
  t.strictSame(action?.action, { data: { summary: 'mend $SHED', points: 3 }, kind: 'MCPToolAction' });
  t.equal(action?.summary, null, 'the summary was the tool’s own parameter');
  t.match(
    s.of('AgentErrorEvent')[0]?.error,
    /Error validating tool 'create_issue'.*[\s\S]*summary\n {2}Field required/,
  );
  t.equal(said(s.of('ObservationEvent')[4]!.observation)[1], 'learnt it', 'a tool that the server added later');
  const dump = s.of('SystemPromptEvent')[0]?.tools.find((tool) => tool['title'] === 'create_issue');
  t.match(dump, { kind: 'MCPToolDefinition', action_type: 'MCPToolAction', mcp_tool: { name: 'create_issue' } });
  const shown = model.requests[0]?.tools?.find((tool) => tool.function.name === 'create_issue')?.function.parameters;
  t.strictSame(Object.keys(shown?.properties ?? {}), ['summary', 'points']);
});

t.test('two servers: names with the server before them; one that fails is left out and told', async (t) => {
  const servers = {
    near: stdio(),
    far: { url: http.url, auth: { strategy: 'bearer', value: 'remote-token' } },
    refused: { url: http.url, headers: { Authorization: 'Bearer wrong-token' } },
    gone: { command: '/does/not/exist', env: { KEY: 'sk-very-secret' } },
    off: { command: '/never/started', enabled: false },
  };
  const s = stage(t, [call('far_create_issue', { summary: 'a' }), call('near_picture'), finish('ok')], {
    agent: agent({ mcpServers: servers }),
  });
  await s.say('go');
  t.equal(await s.run(), 'finished');
  const observations = s.of('ObservationEvent').map((event) => event.observation);
  t.equal(said(observations[0]!)[1], 'made: a (no points, token none)');
  t.equal(said(observations[1]!)[1], 'image');
  const context = s.of('SystemPromptEvent')[0]?.dynamic_context?.text ?? '';
  t.match(context, /- refused: .*401/);
  t.match(context, /- gone: .*ENOENT/);
  t.notMatch(context, /off|very-secret|wrong-token/);
});

t.test('a server that dies: the call says so, the next call has a new one; interrupt ends a call', async (t) => {
  const s = stage(t, [call('dies'), call('create_issue', { summary: 'b' }), call('wait')], {
    agent: agent({ one: stdio() }),
  });
  await s.say('go');
  const interrupt = new AbortController();
  const append = s.conversation.append;
  s.conversation.append = async (event) => {
    const stored = await append(event);
    if (event.kind === 'ActionEvent' && event.tool_name === 'wait') setImmediate(() => interrupt.abort());
    return stored;
  };
  t.equal(await s.run({ interrupt: interrupt.signal }), 'interrupted');
  const observations = s.of('ObservationEvent').map((event) => event.observation);
  t.match(observations[0], { is_error: true, content: [{ text: /^Error calling MCP tool dies: / }] });
  t.match(said(observations[1]!)[1], /made: b/);
  t.match(s.of('AgentErrorEvent')[0]?.error, /interrupted before completion/);
});

t.test('what clients say of servers', (t) => {
  t.match(mcpServer('a', { url: 'http://x/sse' }), { over: 'sse' });
  t.match(mcpServer('a', { url: 'http://x/mcp', transport: 'sse' }), { over: 'sse' });
  t.match(mcpServer('a', { url: 'http://x/mcp', type: 'shttp' }), { over: 'http' });
  t.match(mcpServer('a', { url: 'http://x/', auth: { strategy: 'basic', username: 'u', password: 'p' } }), {
    headers: { Authorization: 'Basic dTpw' },
  });
  t.match(mcpServer('a', { url: 'http://x/', auth: { strategy: 'api_key', value: 'k', header_name: 'X-Key' } }), {
    headers: { 'X-Key': 'k' },
  });
  t.equal(mcpServer('a', { url: 'file:///etc' }), 'its url must be an http or https address');
  t.equal(
    mcpServer('a', { url: 'http://x/', auth: { strategy: 'oauth2' } }),
    'signing in by OAuth is not possible here',
  );
  t.equal(mcpServer('a', {}), 'it needs a command or a url');
  t.match(mcpServersOf({ a: { command: 3 } }).problems, [{ name: 'a', problem: /command/ }]);
  t.equal(
    mcpServersOf(Object.fromEntries(Array.from({ length: 40 }, (_, n) => [`s${n}`, { command: 'x' }]))).servers.length,
    32,
  );
  t.strictSame(withSecrets({ a: ['${X:-y} $Z $W'], n: 1 }, { Z: 'z' }), { a: ['y z $W'], n: 1 });
  t.end();
});

t.test('POST /api/mcp/test: what a server offers, a call on trial, why it does not work', async (t) => {
  const started = await startHere(folder(t));
  t.teardown(() => started.close());
  const post = caller(started.url);
  const ask = async (body: unknown) => (await post('POST', '/api/mcp/test', body)).body;
  const remote = { type: 'shttp', url: http.url, headers: { Authorization: 'Bearer remote-token' } };
  const tools = ['create_issue', 'picture', 'fails', 'dies', 'learn', 'wait'];
  t.match(await ask({ server: remote }), { ok: true, tools, tool_result: null });
  t.match(await ask({ server: stdio(), tool_call: { name: 'fails' } }), {
    ok: true,
    tools,
    tool_result: { is_error: true, text: 'no such issue' },
  });
  t.match(await ask({ server: stdio(), timeout: 3, tool_call: { name: 'wait' } }), {
    ok: false,
    error_kind: 'timeout',
  });
  t.match(await ask({ server: { type: 'http', url: http.url } }), {
    ok: false,
    error_kind: 'connection',
    error: /401/,
  });
  t.match(await ask({ server: {} }), { ok: false, error_kind: 'unknown', error: /needs a command or a url/ });
  t.equal((await post('POST', '/api/mcp/test', {})).status, 422);
});
