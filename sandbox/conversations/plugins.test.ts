import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { caller, folder, lineRunner, says, startHere, statusOf, until } from '../testing/server.js';

/** A repository with a plugin in a folder of it. */
function repository(dir: string): { url: string; commit: string } {
  const root = join(dir, 'origin');
  const files: Record<string, string> = {
    '.claude-plugin/plugin.json': JSON.stringify({
      name: 'weather',
      version: '2.0.0',
      description: 'd',
      author: 'A <a@b>',
    }),
    'skills/rain/SKILL.md': '---\nname: rain\ndescription: When it rains.\ntriggers:\n- umbrella\n---\nTake one.',
    'commands/now.md': '---\ndescription: Now.\n---\nLook outside.',
    'hooks/hooks.json': JSON.stringify({
      hooks: { UserPromptSubmit: [{ hooks: [{ command: 'sh ${CLAUDE_PLUGIN_ROOT}/hooks/said.sh' }] }] },
    }),
    'hooks/said.sh': 'echo said > "$HOME/said.txt"\n',
    '.mcp.json': JSON.stringify({ mcpServers: { sky: { command: '${CLAUDE_PLUGIN_ROOT}/sky', enabled: false } } }),
    'agents/scout.md': '---\nname: scout\ndescription: Looks.\n---\nYou look.',
  };
  for (const [path, text] of Object.entries(files)) {
    const file = join(root, 'plugins/weather', path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@b.test', ...args], { cwd: root })
      .toString()
      .trim();
  git('init', '-q', '-b', 'main');
  git('add', '.');
  git('commit', '-qm', 'first');
  git('tag', 'v2');
  return { url: `file://${root}`, commit: git('rev-parse', 'HEAD') };
}

t.test('a conversation has what its plugins bring', async (t) => {
  const dir = folder(t);
  const { url, commit } = repository(dir);
  const server = await startHere(dir);
  t.teardown(() => server.close());
  const call = caller(server.url);
  const plugins = [{ source: '${WHERE}', ref: 'v2', repo_path: 'plugins/weather' }];
  const secrets = { WHERE: url };
  const made = await call(
    'POST',
    '/api/conversations',
    lineRunner({ plugins, secrets, initial_message: says('echo umbrella') }),
  );
  t.equal(made.status, 201);
  const {
    id,
    agent,
    hook_config: hooks,
  } = made.body as {
    id: string;
    agent: { agent_context: { skills: { name: string }[] }; mcp_config: Record<string, { command: string }> };
    hook_config: { user_prompt_submit: unknown[] };
  };
  t.same(agent.agent_context.skills.map(({ name }) => name), ['rain', 'weather:now']); // prettier-ignore
  t.match(agent.mcp_config['sky']?.command, new RegExp(`settings/plugins/[0-9a-f]+-${commit}/plugins/weather/sky$`));
  t.equal(hooks.user_prompt_submit.length, 1);
  await until(() => statusOf(call, id), (status) => status === 'finished'); // prettier-ignore
  const info = (await call('GET', `/api/conversations/${id}`)).body as { activated_knowledge_skills: string[] };
  t.same(info.activated_knowledge_skills, ['rain'], 'the word of a skill calls it');
  t.equal((await call('GET', `/api/file/download?path=${dir}/said.txt`)).status, 200, 'its hook ran');

  const seen = await call('POST', '/api/plugins/fetch', { source: url, ref: commit, repo_path: 'plugins/weather' });
  t.match(seen.body, {
    resolved_ref: commit,
    manifest: { name: 'weather', version: '2.0.0' },
    skills: ['rain', 'weather:now'],
    commands: ['now'],
  });
});

t.test('a plugin is loaded by name from a marketplace, while the conversation goes on', async (t) => {
  const dir = folder(t);
  const { url } = repository(dir);
  const shop = (name: string, plugins: unknown[]) => {
    mkdirSync(join(dir, name, '.plugin'), { recursive: true });
    writeFileSync(join(dir, name, '.plugin/marketplace.json'), JSON.stringify({ name, owner: { name: 'o' }, plugins }));
    return { name, source: join(dir, name) };
  };
  const weather = { name: 'weather', source: { source: 'url', url, path: 'plugins/weather' } };
  const one = shop('one', [weather, { name: 'twice', source: './twice' }, { name: 'out', source: '../../out' }]);
  const two = shop('two', [{ name: 'twice', source: './twice' }]);
  const registered_marketplaces = [one, two, { name: 'gone', source: '${WHERE}' }];
  const server = await startHere(dir);
  t.teardown(() => server.close());
  const call = caller(server.url);
  const given = lineRunner({ secrets: { WHERE: join(dir, 'gone') }, initial_message: says('true') });
  const agent = { ...(given['agent'] as object), agent_context: { registered_marketplaces } };
  const { id } = (await call('POST', '/api/conversations', { ...given, agent })).body as { id: string };
  await until(() => statusOf(call, id), (status) => status === 'finished'); // prettier-ignore
  const load = (plugin_ref: string) => call('POST', `/api/conversations/${id}/load_plugin`, { plugin_ref });

  t.same((await load('weather')).body, { success: true });
  t.match((await call('GET', `/api/conversations/${id}?include_skills=true`)).body, {
    agent: { agent_context: { skills: [{ name: 'rain' }, {}] }, mcp_config: { sky: { enabled: false } } },
    hook_config: { user_prompt_submit: [{}] },
  });
  await call('POST', `/api/conversations/${id}/events`, says('echo umbrella'));
  await until(() => statusOf(call, id), (status) => status === 'finished'); // prettier-ignore
  const info = (await call('GET', `/api/conversations/${id}`)).body;
  t.match(info, { activated_knowledge_skills: ['rain'] }, 'the next message finds its skills');
  t.equal((await call('GET', `/api/file/download?path=${dir}/said.txt`)).status, 200, 'and its hooks');

  const cases: [string, number, RegExp][] = [
    ['none', 404, /'none' not found in any/],
    ['none@two', 404, /'none' not found in marketplace 'two'/],
    ['weather@three', 404, /Marketplace 'three' is not registered/],
    ['twice', 400, /ambiguous.*one, two/],
    ['twice@two', 400, /no such folder/],
    ['out', 400, /inside the marketplace/],
    ['weather@gone', 400, /The marketplace .*gone cannot be used: there is no such folder/],
    ['@one', 400, /plugin_ref must be/],
  ];
  for (const [reference, status, why] of cases) {
    const answer = await load(reference);
    t.equal(answer.status, status, reference);
    t.match((answer.body as { detail: string }).detail, why);
  }
  const bare = (await call('POST', '/api/conversations', lineRunner())).body as { id: string };
  const refused = await call('POST', `/api/conversations/${bare.id}/load_plugin`, { plugin_ref: 'weather' });
  t.equal(refused.status, 400);
  t.match(refused.body, { detail: /No marketplaces registered/ });
});

t.test('a plugin that cannot be used: why, without its password, and no conversation', async (t) => {
  const dir = folder(t);
  const { url } = repository(dir);
  const server = await startHere(dir);
  t.teardown(() => server.close());
  const call = caller(server.url);
  const cases: [Record<string, unknown>, RegExp][] = [
    [{ source: '--upload-pack=x' }, /source must be/],
    [{ source: 'ext::sh -c x' }, /source must be/],
    [{ source: url, ref: '--x' }, /ref must name/],
    [{ source: url, ref: 'none' }, /none/],
    [{ source: url, repo_path: '../x' }, /inside the repository/],
    [{ source: url, repo_path: 'plugins/none' }, /no folder plugins\/none/],
    [{ source: '/workspace/none' }, /no such folder/],
    [{ source: 'https://user:hush@127.0.0.1:1/x.git' }, /https:\/\/127\.0\.0\.1:1\/x\.git/],
  ];
  for (const [plugin, why] of cases) {
    const answer = await call('POST', '/api/conversations', lineRunner({ plugins: [plugin] }));
    t.equal(answer.status, 400, JSON.stringify(plugin));
    t.match(answer.body, { detail: why });
    t.notMatch(JSON.stringify(answer.body), 'hush');
  }
  t.equal((await call('GET', '/api/conversations/count')).body, 0);
});
