/** The git routes against a stand-in for the providers: pages, searches, what becomes of their errors. */
import t from 'tap';
import { openTestDatabase, startRig } from '../support/api-rig.js';
import { endSuite, startCluster } from '../support/cluster.js';
import { startFakeGitProvider } from '../support/fake-git-provider.js';

const GIT = '/api/v1/git';
const cluster = await startCluster();
const db = await openTestDatabase();
const rig = await startRig(cluster, db);
const fake = await startFakeGitProvider();
const get = <T = { items: unknown[]; next_page_id: string | null }>(path: string) => rig.call<T>('GET', path);
const connect = (provider: string, token: string) =>
  rig.call('POST', '/api/v1/secrets/git-providers', { provider_tokens: { [provider]: { token, host: fake.host } } });
const last = () => fake.calls.at(-1) ?? { line: '', authorization: '' };

const tasksOf = async (provider: string) => {
  const { body } = await get<{ items: { git_provider: string }[] }>(`${GIT}/suggested-tasks/search?limit=100`);
  return body.items.filter(({ git_provider }) => git_provider === provider);
};

const REPOSITORY = {
  id: 1,
  full_name: 'me/one',
  private: true,
  stargazers_count: 2,
  pushed_at: '2026-05-01T09:00:00Z',
  default_branch: 'main',
  owner: { type: 'User' },
};

t.test('without a token', async (t) => {
  t.match(await get(`${GIT}/repositories/search?provider=github`), { status: 403, body: { detail: /token required/ } });
  t.match(await get('/api/v1/users/git-info'), { status: 403, body: { detail: 'Git provider not connected' } });
});

t.test('GitHub', async (t) => {
  await connect('github', 'ghp_x');
  fake.answers.set('GET /api/v3/user', { body: { id: 7, login: 'me', avatar_url: 'https://a/7', extra: 1 } });
  fake.answers.set('GET /api/v3/user/orgs', { body: [{ login: 'acme' }] });
  fake.answers.set('GET /api/v3/user/repos', { body: [REPOSITORY, { ...REPOSITORY, id: 2, full_name: 'me/two' }] });
  fake.answers.set('GET /api/v3/search/repositories', { body: { items: [REPOSITORY] } });
  fake.answers.set('GET /api/v3/repos/me/one/branches', {
    body: [{ name: 'main', commit: { sha: 'abc' }, protected: true }],
  });
  const refs = [{ ref: 'refs/heads/feature/x', object: { sha: 'def' } }];
  fake.answers.set('GET /api/v3/repos/me/one/git/matching-refs/heads/feature%2F', { body: refs });

  t.match(await get('/api/v1/users/git-info'), { body: { id: '7', login: 'me', company: null } });
  const first = await get(`${GIT}/repositories/search?provider=github&limit=2`);
  t.match(first.body.items, [
    { id: '1', full_name: 'me/one', git_provider: 'github', is_public: false, main_branch: 'main' },
    {},
  ]);
  t.equal(last().authorization, 'Bearer ghp_x');
  await get(`${GIT}/repositories/search?provider=github&limit=2&page_id=${first.body.next_page_id ?? ''}`);
  t.match(last().line, /per_page=2&page=2/);
  const found = await get(
    `${GIT}/repositories/search?provider=github&query=https://github.com/me/one&sort_order=stars-desc`,
  );
  t.match([found.body.items.length, found.body.next_page_id], [1, null]);
  t.match(decodeURIComponent(last().line), /q=one in:name fork:true user:me org:acme&sort=stars&order=desc/);
  const branches = (query: string) => get(`${GIT}/branches/search?provider=github&repository=me/one&query=${query}`);
  t.match((await branches('')).body.items, [{ name: 'main', commit_sha: 'abc', protected: true }]);
  t.match((await branches('feature/')).body.items, [{ name: 'feature/x', commit_sha: 'def' }]);
  t.same((await get(`${GIT}/installations/search?provider=github`)).body.items, []);

  const pull = { title: 't', repository: { nameWithOwner: 'me/one' } };
  const state = (value: string | null) => ({
    nodes: [{ commit: { statusCheckRollup: value === null ? null : { state: value } } }],
  });
  const threads = (...resolved: boolean[]) => ({ nodes: resolved.map((isResolved) => ({ isResolved })) });
  const nodes = [
    { ...pull, number: 1, mergeable: 'CONFLICTING', commits: state('FAILURE'), reviewThreads: threads() },
    { ...pull, number: 2, mergeable: 'MERGEABLE', commits: state('FAILURE'), reviewThreads: threads() },
    { ...pull, number: 3, mergeable: 'UNKNOWN', commits: state(null), reviewThreads: threads(true, false) },
    { ...pull, number: 4, mergeable: 'MERGEABLE', commits: state('SUCCESS'), reviewThreads: threads(true) },
  ];
  const data = { viewer: { pullRequests: { nodes } }, search: { nodes: [{ ...pull, number: 5 }, {}] } };
  fake.answers.set('POST /api/graphql', { body: { data } });
  t.match((await get(`${GIT}/suggested-tasks/search`)).body.items, [
    { task_type: 'MERGE_CONFLICTS', issue_number: 1, repo: 'me/one' },
    { task_type: 'FAILING_CHECKS', issue_number: 2 },
    { task_type: 'UNRESOLVED_COMMENTS', issue_number: 3 },
    { task_type: 'OPEN_ISSUE', issue_number: 5 },
  ]);
});

t.test('what a provider refuses is said so that its user can act', async (t) => {
  const at = 'GET /api/v3/user/repos';
  const ask = () => get(`${GIT}/repositories/search?provider=github`);
  fake.answers.set(at, { status: 401, body: { message: 'Bad credentials at http://inner' } });
  const refused = await ask();
  t.match(refused, { status: 403, body: { detail: /GitHub refuses the token/ } });
  t.notMatch(refused.text, /ghp_x|inner/);
  fake.answers.set(at, { status: 403, body: {}, headers: { 'x-ratelimit-remaining': '0', 'retry-after': '30' } });
  t.match(await ask(), { status: 429, headers: { 'retry-after': '30' } });
  fake.answers.set(at, { status: 500, body: {} });
  t.match(await ask(), { status: 502, body: { detail: /answered 500/ } });
  fake.answers.set(at, { body: { not: 'a list' } });
  t.match(await ask(), { status: 502, body: { detail: /form that is not known/ } });
  fake.answers.set('POST /api/graphql', { status: 500, body: {} });
  t.same((await get(`${GIT}/suggested-tasks/search`)).body.items, [], 'one that is away hides nothing of the others');
  for (const query of ['provider=nonsense', 'provider=github&sort_order=x', 'provider=github&limit=0'])
    t.equal((await get(`${GIT}/repositories/search?${query}`)).status, 422, query);
  t.equal((await get(`${GIT}/branches/search?provider=github&repository=../../user&query=`)).status, 422);
});

t.test('GitLab and Bitbucket', async (t) => {
  await connect('gitlab', 'glpat-x');
  const project = {
    id: 3,
    path_with_namespace: 'g/s/p',
    visibility: 'public',
    default_branch: 'dev',
    namespace: { kind: 'group' },
  };
  fake.answers.set('GET /api/v4/projects', { body: [project] });
  fake.answers.set('GET /api/v4/projects/g%2Fs%2Fp/repository/branches', {
    body: [{ name: 'dev', commit: { id: 'c1' } }],
  });
  const issue = { iid: 4, title: 'i', references: { full: 'g/s/p#4' } };
  fake.answers.set('GET /api/v4/issues', { body: [issue] });
  const request = {
    iid: 9,
    title: 'm',
    references: { full: 'g/s/p!9' },
    has_conflicts: false,
    blocking_discussions_resolved: false,
  };
  fake.answers.set('GET /api/v4/merge_requests', { body: [request] });
  t.match((await get(`${GIT}/repositories/search?provider=gitlab&query=p`)).body.items, [
    { id: '3', full_name: 'g/s/p', is_public: true, owner_type: 'organization', main_branch: 'dev' },
  ]);
  t.match(last().line, /membership=true.*search=p/);
  t.match((await get(`${GIT}/branches/search?provider=gitlab&repository=g/s/p&query=`)).body.items, [
    { name: 'dev', commit_sha: 'c1' },
  ]);
  t.match((await get(`${GIT}/suggested-tasks/search`)).body.items, [
    { git_provider: 'gitlab', task_type: 'UNRESOLVED_COMMENTS', repo: 'g/s/p', issue_number: 9 },
    { git_provider: 'gitlab', task_type: 'OPEN_ISSUE', repo: 'g/s/p', issue_number: 4 },
  ]);

  await connect('bitbucket', 'me:app');
  const values = [
    { uuid: '{u}', full_name: 'w/r', is_private: false, mainbranch: { name: 'main' }, owner: { type: 'team' } },
  ];
  fake.answers.set('GET /2.0/repositories', { body: { values, next: 'more' } });
  fake.answers.set('GET /2.0/workspaces', { body: { values: [{ slug: 'w' }] } });
  const page = await get(`${GIT}/repositories/search?provider=bitbucket&query=r%22`);
  t.match(page.body, { items: [{ id: '{u}', full_name: 'w/r', is_public: true }], next_page_id: /./ });
  t.match(decodeURIComponent(last().line), /q=name~"r\\""/);
  t.equal(last().authorization, `Basic ${Buffer.from('me:app').toString('base64')}`);
  t.same((await get(`${GIT}/installations/search?provider=bitbucket`)).body.items, ['w']);
});

t.test('Forgejo', async (t) => {
  fake.answers.set('GET /api/v1/user', { body: { id: 5, login: 'me', full_name: '' } });
  t.same((await connect('forgejo', 'fj')).body, { message: 'Git providers stored' });
  t.equal(last().authorization, 'token fj');
  const one = { id: 1, full_name: 'me/one', private: false, stars_count: 3, default_branch: 'main' };
  fake.answers.set('GET /api/v1/user/repos', { body: [one] });
  fake.answers.set('GET /api/v1/repos/search', { body: { ok: true, data: [one] } });
  const branches = ['main', 'feature/x', 'other'].map((name) => ({ name, commit: { id: `c-${name}` } }));
  fake.answers.set('GET /api/v1/repos/me/one/branches', { body: branches });
  const issue = { number: 4, title: 'i', repository: { full_name: 'me/one' } };
  fake.answers.set('GET /api/v1/repos/issues/search', { body: [issue] });
  t.match((await get(`${GIT}/repositories/search?provider=forgejo`)).body.items, [{ full_name: 'me/one', git_provider: 'forgejo', is_public: true }]); // prettier-ignore
  await get(`${GIT}/repositories/search?provider=forgejo&query=https://git.example/me/one&sort_order=stars-asc`);
  t.match(last().line, /q=one&sort=stars&order=asc/);
  const found = await get(`${GIT}/branches/search?provider=forgejo&repository=me/one&query=ture`);
  t.match(found.body, { items: [{ name: 'feature/x', commit_sha: 'c-feature/x' }], next_page_id: null });
  t.equal(found.body.items.length, 1);
  t.match(await tasksOf('forgejo'), [{ task_type: 'OPEN_ISSUE', repo: 'me/one', issue_number: 4 }]);
});

t.test('Azure DevOps', async (t) => {
  const connectTo = (host: string | null) =>
    rig.call('POST', '/api/v1/secrets/git-providers', { provider_tokens: { azure_devops: { token: 'pat', host } } });
  for (const host of [null, fake.host, 'dev.azure.com'])
    t.match(await connectTo(host), { status: 400, body: { detail: /organization/ } }, String(host));
  const me = { id: 'u1', providerDisplayName: 'Me', properties: { Account: { $value: 'me@example.org' } } };
  fake.answers.set('GET /org/_apis/connectionData', { body: { authenticatedUser: me } });
  t.same((await connectTo(`${fake.host}/org`)).body, { message: 'Git providers stored' });
  t.equal(last().authorization, `Basic ${Buffer.from(':pat').toString('base64')}`);
  const repositoryOf = (project: string, name: string) => ({ id: name, name, defaultBranch: 'refs/heads/main', project: { name: project, visibility: 'private' } }); // prettier-ignore
  const value = [repositoryOf('p', 'one'), repositoryOf('p', 'two'), { ...repositoryOf('p', 'old'), isDisabled: true }];
  fake.answers.set('GET /org/_apis/git/repositories', { body: { value } });
  const first = await get(`${GIT}/repositories/search?provider=azure_devops&limit=1`);
  t.match(first.body.items, [{ full_name: 'org/p/one', is_public: false, main_branch: 'main' }]);
  const second = await get(
    `${GIT}/repositories/search?provider=azure_devops&limit=1&page_id=${first.body.next_page_id ?? ''}`,
  );
  t.match(second.body, { items: [{ full_name: 'org/p/two' }], next_page_id: null });
  const refs = [{ name: 'refs/heads/feature/x', objectId: 'abc' }];
  fake.answers.set('GET /org/p/_apis/git/repositories/one/refs', { body: { value: refs } });
  const found = await get(`${GIT}/branches/search?provider=azure_devops&repository=org/p/one&query=fea`);
  t.match(found.body.items, [{ name: 'feature/x', commit_sha: 'abc' }]);
  t.match(last().line, /filterContains=fea/);
  fake.answers.set('GET /org/_apis/connectionData', { status: 203, body: 'sign in' });
  t.match(await connectTo(`${fake.host}/org`), { status: 400, body: { detail: /Invalid token.*Azure DevOps/ } });
});

t.test('Bitbucket Data Center', async (t) => {
  const without = { provider_tokens: { bitbucket_data_center: { token: 'x' } } };
  t.match(await rig.call('POST', '/api/v1/secrets/git-providers', without), { status: 400, body: { detail: /host/ } });
  const at = '/rest/api/1.0';
  fake.answers.set(`GET ${at}/users`, { body: { values: [{ id: 3, name: 'me', displayName: 'Me' }] } });
  await connect('bitbucket_data_center', 'me:app');
  const project = { key: 'PRJ', type: 'NORMAL' };
  fake.answers.set(`GET ${at}/repos`, { body: { values: [{ id: 1, slug: 'one', project }], isLastPage: false } });
  fake.answers.set(`GET ${at}/projects/PRJ/repos/one/branches`, {
    body: { values: [{ displayId: 'main', latestCommit: 'abc' }], isLastPage: true },
  });
  const pull = (id: number, properties: object) => ({ id, title: 't', properties, toRef: { repository: { slug: 'one', project } } }); // prettier-ignore
  fake.answers.set(`GET ${at}/dashboard/pull-requests`, {
    body: { values: [pull(1, { mergeResult: { outcome: 'CONFLICTED' } }), pull(2, { openTaskCount: 1 }), pull(3, {})] },
  });
  const first = await get(`${GIT}/repositories/search?provider=bitbucket_data_center&limit=5`);
  t.match(first.body.items, [{ full_name: 'PRJ/one', owner_type: 'organization' }]);
  await get(
    `${GIT}/repositories/search?provider=bitbucket_data_center&limit=5&page_id=${first.body.next_page_id ?? ''}`,
  );
  t.match(last().line, /start=5&limit=5/);
  t.match((await get(`${GIT}/branches/search?provider=bitbucket_data_center&repository=PRJ/one&query=ma`)).body.items, [
    { name: 'main', commit_sha: 'abc' },
  ]);
  t.match(last().line, /filterText=ma/);
  t.match(await tasksOf('bitbucket_data_center'), [
    { task_type: 'MERGE_CONFLICTS', repo: 'PRJ/one', issue_number: 1 },
    { task_type: 'UNRESOLVED_COMMENTS', issue_number: 2 },
  ]);
});

t.test('a token is tried when it is stored', async (t) => {
  const stored = () => db.prisma.providerToken.findFirst({ where: { provider: 'github' } });
  const before = await stored();
  fake.answers.set('GET /api/v3/user', { status: 401, body: {} });
  t.match(await connect('github', 'ghp_bad'), { status: 400, body: { detail: /Invalid token: GitHub refuses/ } });
  t.same(await stored(), before, 'the earlier one stays');
  fake.answers.set('GET /api/v3/user', { status: 403, body: {} });
  t.match(await connect('github', 'ghp_narrow'), { status: 200, body: { message: /not checked: GitHub refuses/ } });
  const away = { provider_tokens: { github: { token: 'ghp_away', host: '127.0.0.1:9' } } };
  t.match(await rig.call('POST', '/api/v1/secrets/git-providers', away), {
    status: 200,
    body: { message: /not checked: GitHub does not answer/ },
  });
  t.equal((await stored())?.host, '127.0.0.1:9', 'and is stored');
});

t.test('the end', async () => {
  await rig.call('DELETE', '/api/v1/secrets/git-providers');
  await fake.close();
  await rig.stop();
  await db.close();
  await endSuite(cluster);
});
