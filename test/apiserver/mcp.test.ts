/** The MCP server for agents, over real HTTP with the SDK's client; the git hosts are stand-ins. */
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import t from 'tap';
import { z } from 'zod';
import { conversationDashed } from '../../contracts/names.js';
import { packageRoot } from '../../process/root.js';
import { openTestDatabase, operatorHand, startRig } from '../support/api-rig.js';
import { endSuite, startCluster } from '../support/cluster.js';
import { startFakeGitProvider } from '../support/fake-git-provider.js';
import { startsOf, V1 } from '../support/starts.js';

const cluster = await startCluster();
const db = await openTestDatabase();
const fake = await startFakeGitProvider();
const hand = operatorHand(cluster.client, cluster.namespace);
const { converse } = startsOf(hand);
const API_URL = 'http://api.test:3002';
const rig = await startRig(cluster, db, {
  config: {
    identity: { mode: 'single-user', publicUrl: 'https://sandlot.example' },
    apiUrl: API_URL,
  },
});
await rig.server.sandboxApp.listen({ port: 0, host: '127.0.0.1' });
const { port } = rig.server.sandboxApp.server.address() as AddressInfo;
const endpoint = new URL(`http://127.0.0.1:${port}/mcp/mcp`);

const entrySchema = z.object({ default: z.object({ url: z.string(), headers: z.record(z.string(), z.string()) }) });
const configOf = (sent: Record<string, unknown> | undefined): unknown =>
  (sent?.['agent'] as { mcp_config: unknown }).mcp_config;

async function connect(headers: Record<string, string>): Promise<Client> {
  const client = new Client({ name: 'suite', version: '1' });
  await client.connect(new StreamableHTTPClientTransport(endpoint, { requestInit: { headers } }));
  return client;
}

const PLAIN = { source_branch: 'work', target_branch: 'main', title: 'T', description: 'why' };

t.test('tools for the agent of a conversation', async (t) => {
  const before = await converse(rig);
  t.teardown(() => before.agent.close());
  t.same(
    configOf(before.agent.conversations.get(conversationDashed(before.id))),
    {},
    'a user without a git provider has no use for them',
  );
  const hosts = ['github', 'gitlab', 'bitbucket', 'bitbucket_data_center'];
  const tokens = Object.fromEntries(hosts.map((name) => [name, { token: `hush-${name}`, host: fake.host }]));
  const azure_devops = { token: 'hush-azure', host: `${fake.host}/org` };
  const stored = await rig.call('POST', `${V1}/secrets/git-providers`, { provider_tokens: { ...tokens, azure_devops } }, { host: 'sandlot.example' }); // prettier-ignore
  t.equal(stored.status, 200);

  const { id, sandboxId, agent } = await converse(rig);
  t.teardown(() => agent.close());
  const sent = agent.conversations.get(conversationDashed(id));
  const entry = entrySchema.parse(configOf(sent)).default;
  t.equal(entry.url, `${API_URL}/mcp/mcp`);
  t.notMatch(JSON.stringify(configOf(sent)), 'hush', 'tokens stay here');
  const { headers } = entry;
  const client = await connect(headers);
  t.teardown(() => client.close());

  await t.test('are those of the original', async (t) => {
    const { tools } = await client.listTools();
    t.same(
      tools.map(({ name, inputSchema }) => ({ name, inputSchema: plainSchema(inputSchema) })),
      recordedTools().map(({ name, inputSchema }) => ({ name, inputSchema: plainSchema(inputSchema) })),
    );
  });

  await t.test('open pull requests with the tokens of the user', async (t) => {
    const call = (name: string, args: object) => client.callTool({ name, arguments: { ...args } });
    const bodyOf = () => JSON.parse(fake.calls.at(-1)?.body ?? 'null') as Record<string, unknown>;
    fake.answers.set('POST /api/v3/repos/me/one/pulls', { status: 201, body: { html_url: 'https://gh/me/one/pull/7', number: 7 } }); // prettier-ignore
    fake.answers.set('POST /api/v3/repos/me/one/issues/7/labels', { body: [] });
    const { description: _none, ...github } = PLAIN;
    const made = await call('create_pr', { ...github, repo_name: 'me/one', body: 'why', labels: ['bug'] });
    t.match(made, { content: [{ text: 'https://gh/me/one/pull/7' }], structuredContent: { result: 'https://gh/me/one/pull/7' } }); // prettier-ignore
    const [pull] = fake.calls.slice(-2);
    t.match(JSON.parse(pull?.body ?? ''), { head: 'work', base: 'main', draft: true, body: /why\n\n\[.*\]\(https:\/\/sandlot\.example\/conversations\// }); // prettier-ignore
    t.equal(pull?.authorization, 'Bearer hush-github');

    fake.answers.set('POST /api/v4/projects/g%2Fp/merge_requests', { status: 201, body: { web_url: 'https://gl/mr/3', iid: 3 } }); // prettier-ignore
    t.match(await call('create_mr', { ...PLAIN, id: 'g%2Fp' }), { structuredContent: { result: 'https://gl/mr/3' } });
    t.match(bodyOf(), { source_branch: 'work', target_branch: 'main', title: 'T' });

    fake.answers.set('POST /2.0/repositories/w/r/pullrequests', { status: 201, body: { id: 4, links: { html: { href: 'https://bb/4' } } } }); // prettier-ignore
    t.match(await call('create_bitbucket_pr', { ...PLAIN, repo_name: 'w/r' }), { structuredContent: { result: 'https://bb/4' } }); // prettier-ignore
    t.match(bodyOf(), { source: { branch: { name: 'work' } }, destination: { branch: { name: 'main' } } });

    fake.answers.set('POST /rest/api/1.0/projects/PRJ/repos/r/pull-requests', { status: 201, body: { id: 5, links: { self: [{ href: 'https://dc/5' }] } } }); // prettier-ignore
    t.match(await call('create_bitbucket_data_center_pr', { ...PLAIN, repo_name: 'PRJ/r' }), { structuredContent: { result: 'https://dc/5' } }); // prettier-ignore
    t.match(bodyOf(), { fromRef: { id: 'refs/heads/work' }, toRef: { id: 'refs/heads/main', repository: { project: { key: 'PRJ' } } } }); // prettier-ignore

    fake.answers.set('POST /org/p/_apis/git/repositories/r/pullrequests', { status: 201, body: { pullRequestId: 6, repository: { webUrl: 'https://az/org/p/_git/r' } } }); // prettier-ignore
    t.match(await call('create_azure_devops_pr', { ...PLAIN, repo_name: 'org/p/r' }), { structuredContent: { result: 'https://az/org/p/_git/r/pullrequest/6' } }); // prettier-ignore
    t.match(bodyOf(), { sourceRefName: 'refs/heads/work', targetRefName: 'refs/heads/main' });
    const row = await db.prisma.conversation.findUnique({ where: { id } });
    t.same(row?.prNumber, [7, 3, 4, 5, 6]);
  });

  await t.test('say what is wrong', async (t) => {
    const call = (args: object) => client.callTool({ name: 'create_bitbucket_pr', arguments: { ...args } });
    const at = 'POST /2.0/repositories/w/r/pullrequests';
    fake.answers.set(at, { status: 400, body: { error: { message: 'There are no changes to be pulled' } } });
    t.match(await call({ ...PLAIN, repo_name: 'w/r' }), { isError: true, content: [{ text: /400: There are no changes/ }] }); // prettier-ignore
    fake.answers.set(at, { status: 401, body: {} });
    const refused = await call({ ...PLAIN, repo_name: 'w/r' });
    t.match(refused, { isError: true, content: [{ text: /Bitbucket refuses the token/ }] });
    t.notMatch(JSON.stringify(refused), 'hush');
    t.match(await call({ ...PLAIN, repo_name: '../../user' }), { isError: true, content: [{ text: /repo_name/ }] });
    t.match(await call({ repo_name: 'w/r' }), { isError: true, content: [{ text: /source_branch/ }] });
    t.match(await client.callTool({ name: 'none', arguments: {} }), { isError: true });
    await db.prisma.providerToken.deleteMany({ where: { provider: 'bitbucket' } });
    t.match(await call({ ...PLAIN, repo_name: 'w/r' }), { isError: true, content: [{ text: /no token for bitbucket/ }] }); // prettier-ignore
  });

  await t.test('are that conversation’s alone, while it runs', async (t) => {
    const other = { ...headers, 'X-OpenHands-ServerConversation-ID': before.id };
    const wrong = [{}, other, { ...headers, 'X-Session-API-Key': agent.key }];
    for (const given of wrong) await t.rejects(connect(given as Record<string, string>), /401/);
    const get = await fetch(endpoint, { headers });
    t.same([get.status, get.headers.get('allow')], [405, 'POST']);
    t.equal((await fetch(endpoint)).status, 401);
    await rig.server.deps.control.setRunState(sandboxId, 'Paused');
    await t.rejects(client.listTools(), /401/);
  });
});

t.test('the end', async () => {
  await fake.close();
  await rig.server.sandboxApp.close();
  await rig.stop();
  await db.close();
  await endSuite(cluster);
});

interface RecordedTool {
  name: string;
  inputSchema: unknown;
}

/** As the real app server's agent announced them. */
function recordedTools(): RecordedTool[] {
  const file = join(packageRoot(), 'test/conformance/app-server/webhooks.json');
  const found: RecordedTool[] = [];
  const look = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    const { mcp_tool } = value as { mcp_tool?: RecordedTool };
    if (mcp_tool != null && !found.some(({ name }) => name === mcp_tool.name)) found.push(mcp_tool);
    Object.values(value).forEach(look);
  };
  look(JSON.parse(readFileSync(file, 'utf8')));
  return found;
}

/** A schema without the words for people. */
function plainSchema(schema: unknown): unknown {
  return JSON.parse(JSON.stringify(schema), (key, value: unknown) =>
    key === 'description' && typeof value === 'string' ? undefined : value,
  );
}
