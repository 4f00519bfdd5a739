import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { caller, folder, lineRunner, says, startHere, statusOf, until, type Call } from '../../testing/server.js';

interface Repository {
  root: string;
  url: string;
  commit(files: Record<string, string>): string;
}

function repository(root: string): Repository {
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@b.test', ...args], { cwd: root })
      .toString()
      .trim();
  mkdirSync(root, { recursive: true });
  git('init', '-q', '-b', 'main');
  return {
    root,
    url: `file://${root}`,
    commit(files) {
      for (const [path, text] of Object.entries(files)) {
        mkdirSync(dirname(join(root, path)), { recursive: true });
        writeFileSync(join(root, path), text);
      }
      git('add', '-A');
      git('commit', '-qm', 'a change');
      return git('rev-parse', 'HEAD');
    },
  };
}

const skill = (name: string, rest = 'Do it well.') => `---\nname: ${name}\ndescription: About ${name}.\n---\n${rest}`;
const plugin = (name: string, version = '1.0.0') => JSON.stringify({ name, version, description: 'd' });

/** A marketplace with a plugin and two skills. */
const SHOP = {
  '.plugin/marketplace.json': JSON.stringify({
    name: 'shop',
    owner: { name: 'o' },
    plugins: [
      { name: 'weather', description: 'w', source: './plugins/weather' },
      { name: 'far', source: { source: 'github', repo: 'a/b', ref: 'v1', path: 'plugins/far' } },
      { name: 'out', source: './plugins/../../out' },
    ],
    skills: [{ name: 'knots', description: 'k', source: './skills/knots' }],
  }),
  'plugins/weather/.plugin/plugin.json': plugin('weather'),
  'plugins/weather/skills/rain/SKILL.md': skill('rain'),
  'skills/knots/SKILL.md': skill('knots'),
};

async function start(
  t: { teardown(work: () => unknown): unknown },
  dir: string,
  more: Record<string, string> = {},
): Promise<Call> {
  const server = await startHere(dir, more);
  t.teardown(() => server.close());
  return caller(server.url);
}

t.test('a plugin is installed, switched off and on, refreshed and uninstalled', async (t) => {
  const dir = folder(t);
  const origin = repository(join(dir, 'origin'));
  const first = origin.commit(SHOP);
  const call = await start(t, dir);
  const source = { source: origin.url, repo_path: 'plugins/weather' };

  t.same((await call('GET', '/api/plugins/installed')).body, { plugins: [] });
  const made = await call('POST', '/api/plugins/install', source);
  t.equal(made.status, 200, JSON.stringify(made.body));
  t.match(made.body, {
    name: 'weather',
    version: '1.0.0',
    enabled: true,
    source: origin.url,
    resolved_ref: first,
    repo_path: 'plugins/weather',
    install_path: join(dir, '.openhands/plugins/installed/weather'),
    skills: [{ name: 'rain', description: 'About rain.' }],
    files: ['.plugin/plugin.json', 'skills/rain/SKILL.md'],
  });
  t.equal((await call('POST', '/api/plugins/install', source)).status, 409, 'it is there');

  t.same((await call('PATCH', '/api/plugins/installed/weather', { enabled: false })).body, { name: 'weather', enabled: false }); // prettier-ignore
  t.same((await call('POST', '/api/plugins', {})).body, { plugins: [] }, 'what is off is not offered');
  const second = origin.commit({ 'plugins/weather/.plugin/plugin.json': plugin('weather', '2.0.0') });
  const fresh = await call('POST', '/api/plugins/installed/weather/refresh');
  t.match(fresh.body, { message: "Plugin 'weather' updated", plugin: { version: '2.0.0', resolved_ref: second, enabled: false } }); // prettier-ignore

  rmSync(origin.root, { recursive: true });
  t.equal((await call('POST', '/api/plugins/installed/weather/refresh')).status, 400);
  t.match((await call('GET', '/api/plugins/installed/weather')).body, { version: '2.0.0' }, 'a failure leaves it');

  t.same((await call('DELETE', '/api/plugins/installed/weather')).body, { message: "Plugin 'weather' uninstalled" });
  for (const [method, path] of [['GET', ''], ['DELETE', ''], ['POST', '/refresh']] as const) // prettier-ignore
    t.same((await call(method, `/api/plugins/installed/weather${path}`)).body, { detail: "Plugin 'weather' is not installed" }); // prettier-ignore
});

t.test('conversations have what is installed and on', async (t) => {
  const dir = folder(t);
  const origin = repository(join(dir, 'origin'));
  origin.commit({ ...SHOP, 'skills/knots/SKILL.md': skill('knots', 'Tie a bowline.') });
  const call = await start(t, dir);
  t.equal((await call('POST', '/api/plugins/install', { source: `${origin.root}/plugins/weather` })).status, 200);
  t.match((await call('POST', '/api/skills/install', { source: origin.url, repo_path: 'skills/knots' })).body, {
    name: 'knots',
    description: 'About knots.',
    enabled: true,
  });

  const talk = async () => {
    const made = await call('POST', '/api/conversations', lineRunner({ initial_message: says('true') }));
    const { id } = made.body as { id: string };
    await until(() => statusOf(call, id), (status) => status === 'finished'); // prettier-ignore
    const events = await call('GET', `/api/conversations/${id}/events/search?kind=SystemPromptEvent`);
    return { made: made.body, prompt: JSON.stringify(events.body) };
  };
  const with_ = await talk();
  t.match(with_.made, { agent: { agent_context: { skills: [{ name: 'rain' }] } } });
  t.match(with_.prompt, /knots.*About knots|About knots|bowline/, 'the skill is told of');
  await call('PATCH', '/api/plugins/installed/weather', { enabled: false });
  await call('PATCH', '/api/skills/installed/knots', { enabled: false });
  const without = await talk();
  t.match(without.made, { agent: { agent_context: null } });
  t.notMatch(without.prompt, /knots/);
});

t.test('what is no plugin or skill, or leads elsewhere', async (t) => {
  const dir = folder(t);
  const origin = repository(join(dir, 'origin'));
  mkdirSync(join(dir, 'secret'));
  writeFileSync(join(dir, 'secret/key'), 'hush');
  mkdirSync(origin.root, { recursive: true });
  symlinkSync(join(dir, 'secret'), join(origin.root, 'link'));
  mkdirSync(join(origin.root, 'linked'));
  symlinkSync(join(dir, 'secret/key'), join(origin.root, 'linked/key'));
  symlinkSync('SKILL.md', join(origin.root, 'linked/COPY.md'));
  origin.commit({
    'bad/.plugin/plugin.json': plugin('Not A Name'),
    'up/.plugin/plugin.json': plugin('../up'),
    'none/.plugin/plugin.json': '{}',
    'linked/SKILL.md': skill('linked'),
    'empty/README.md': 'nothing',
  });
  const call = await start(t, dir);
  const cases: [string, Record<string, unknown>, number, RegExp][] = [
    ['plugins', { source: origin.url, repo_path: 'bad' }, 422, /Invalid plugin: its name 'Not A Name'/],
    ['plugins', { source: origin.url, repo_path: 'up' }, 422, /Invalid plugin: its name/],
    ['plugins', { source: origin.url, repo_path: 'none' }, 422, /is no manifest/],
    ['plugins', { source: origin.url, repo_path: 'link' }, 400, /is a link out of the repository/],
    ['plugins', { source: origin.url, repo_path: '../secret' }, 400, /inside the repository/],
    ['skills', { source: origin.url, repo_path: 'empty' }, 422, /Invalid skill: there is no SKILL.md/],
    ['skills', { source: 'https://user:hush@127.0.0.1:1/x.git' }, 400, /The skill https:\/\/127\.0\.0\.1:1\/x\.git/],
    ['skills', { source: 'github:a/b@v1/../c' }, 400, /inside the repository/],
  ];
  for (const [what, body, status, why] of cases) {
    const answer = await call('POST', `/api/${what}/install`, body);
    t.equal(answer.status, status, JSON.stringify(body));
    t.match((answer.body as { detail: string }).detail, why);
    t.notMatch(JSON.stringify(answer.body), 'hush');
  }
  t.same((await call('GET', '/api/plugins/installed')).body, { plugins: [] }, 'nothing is left of them');

  t.equal((await call('POST', '/api/skills/install', { source: origin.url, repo_path: 'linked' })).status, 200);
  const installed = join(dir, '.openhands/skills/installed/linked');
  t.notOk(existsSync(join(installed, 'key')), 'a link out of the folder is left out');
  t.ok(existsSync(join(installed, 'COPY.md')), 'one inside of it is not');

  const long = 'a'.repeat(256);
  for (const name of ['%2e%2e%2fx', 'A', long, '.new-x'])
    t.ok([404, 422].includes((await call('DELETE', `/api/skills/installed/${name}`)).status), name);
  t.ok(existsSync(installed));
});

t.test('the marketplace', async (t) => {
  const dir = folder(t);
  const origin = repository(join(dir, 'origin'));
  origin.commit(SHOP);
  const call = await start(t, dir, { SANDLOT_EXTENSIONS: origin.url });

  const offered = await call('GET', '/api/plugins/marketplace');
  t.match(offered.body, {
    plugins: [
      { name: 'weather', installed: false, repo_path: 'plugins/weather', skills: [{ name: 'rain' }] },
      { name: 'far', source: 'github:a/b', ref: 'v1', repo_path: 'plugins/far', skills: null, files: null },
    ],
  });
  const [weather] = (offered.body as { plugins: Record<string, unknown>[] }).plugins;
  t.equal((await call('POST', '/api/plugins/install', weather)).status, 200, 'what is offered can be installed');
  t.match((await call('GET', '/api/plugins/marketplace')).body, {
    plugins: [{ name: 'weather', installed: true }, {}],
  });

  const skills = (await call('GET', '/api/skills/marketplace')).body as { skills: { name: string; source: string }[] };
  t.same(skills.skills.map(({ name }) => name), ['weather', 'far', 'knots']); // prettier-ignore
  t.equal(skills.skills[1]?.source, 'github:a/b@v1/plugins/far');
  const knots = await call('POST', '/api/skills/install', { source: skills.skills[2]?.source });
  t.match(knots.body, { name: 'knots' });
  t.match((await call('GET', '/api/skills/catalog')).body, { skills: [{ name: 'knots', origin: 'user' }] });

  origin.commit({ 'skills/knots/SKILL.md': skill('knots'), '.plugin/marketplace.json': '{"name": 7}' });
  t.match((await call('POST', '/api/skills/sync')).body, { status: 'error', message: /marketplace\.json .* is wrong/ });
  rmSync(origin.root, { recursive: true });
  t.match((await call('POST', '/api/skills/sync')).body, { status: 'error', message: /cannot be used/ });
  const failed = await call('GET', '/api/plugins/marketplace');
  t.equal(failed.status, 502);
  t.match(failed.body, { exception: /The marketplace file:\/\/.* cannot be used/ });
  t.match(
    (await call('GET', '/api/skills/catalog')).body,
    { skills: [{ name: 'knots' }] },
    'what is here is told anyway',
  );
});
