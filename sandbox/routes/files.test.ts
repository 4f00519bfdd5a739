import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { caller, folder, KEY, startHere } from '../testing/server.js';

const ENV = {
  ...process.env,
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_AUTHOR_NAME: 'a',
  GIT_AUTHOR_EMAIL: 'a@b.test',
  GIT_COMMITTER_NAME: 'a',
  GIT_COMMITTER_EMAIL: 'a@b.test',
};
const git = (cwd: string, ...args: string[]): string =>
  execFileSync('git', args, { cwd, env: ENV, stdio: ['ignore', 'pipe', 'ignore'] })
    .toString()
    .trim();

/** A repository that was cloned, with a branch of its own: one commit, one change that is not committed, a new file. */
async function cloned(t: Test) {
  const dir = folder(t);
  const origin = join(dir, 'origin');
  const work = join(dir, 'workspace/project/app');
  mkdirSync(origin);
  git(origin, 'init', '-q', '-b', 'main');
  writeFileSync(join(origin, 'a.txt'), 'one\n');
  writeFileSync(join(origin, 'b.txt'), 'b\n');
  git(origin, 'add', '.');
  git(origin, 'commit', '-qm', 'first');
  mkdirSync(join(dir, 'workspace/project'), { recursive: true });
  git(join(dir, 'workspace/project'), 'clone', '-q', origin, 'app');
  git(work, 'switch', '-qc', 'work');
  writeFileSync(join(work, 'a.txt'), 'two\n');
  git(work, 'rm', '-q', 'b.txt');
  git(work, 'commit', '-qam', 'second');
  writeFileSync(join(work, 'n ä.txt'), 'new\n');
  const server = await startHere(dir);
  t.teardown(() => server.close());
  const get = async (path: string) => {
    const response = await fetch(`${server.url}${path}`, { headers: { 'x-session-api-key': KEY } });
    return { status: response.status, headers: response.headers, bytes: Buffer.from(await response.arrayBuffer()) };
  };
  return { dir, origin, work, get, call: caller(server.url) };
}

t.test('changes: committed and pushed work stays to be seen', async (t) => {
  const { work, call } = await cloned(t);
  const changes = async (query = '') =>
    (await call('GET', `/api/git/changes?path=/workspace/project/app${query}`)).body;
  const all = [
    { status: 'UPDATED', path: 'a.txt' },
    { status: 'DELETED', path: 'b.txt' },
    { status: 'ADDED', path: 'n ä.txt' },
  ];
  t.same(await changes(), all);
  t.same(await changes('&ref=HEAD'), all.slice(2));
  const diff = '/api/git/diff?path=/workspace/project/app';
  t.same((await call('GET', `${diff}/a.txt`)).body, { modified: 'two', original: 'one' });
  git(work, 'push', '-q', 'origin', 'work');
  t.same(await changes(), all, 'pushed whole');
  writeFileSync(join(work, 'a.txt'), 'three\n');
  t.same(await changes(), [all[0], all[2]], 'edits on a pushed branch are shown against it');

  const sha = git(work, 'rev-parse', 'HEAD');
  const commit = await call('GET', `/api/git/commits/${sha.slice(0, 8)}/changes?path=/workspace/project/app`);
  t.same(commit.body, all.slice(0, 2));
  t.same((await call('GET', `${diff}/b.txt&commit=${sha}`)).body, { modified: '', original: 'b' });
  t.match(await call('GET', `${diff}/b.txt&commit=${sha}&ref=HEAD`), { status: 400 });
  t.match(await call('GET', `${diff}/b.txt&commit=--output`), { status: 422 });
  t.same((await call('GET', '/api/git/diff?path=/workspace/nowhere/x')).body, { modified: null, original: null });
  t.equal((await call('GET', '/api/git/commits/abcdef0/changes?path=/workspace/project/app')).status, 400);

  mkdirSync(join(work, 'inner'));
  git(join(work, 'inner'), 'init', '-q');
  writeFileSync(join(work, 'inner/x'), 'x');
  t.match(await changes(), [all[0], { status: 'ADDED', path: 'inner/x' }, all[2]], 'a repository inside another');
});

t.test('archive: a patch that applies to what was cloned', async (t) => {
  const { dir, origin, work, get } = await cloned(t);
  mkdirSync(join(work, 'node_modules'));
  writeFileSync(join(work, 'node_modules/x'), 'x');
  writeFileSync(join(work, 'build'), 'a file of that name\n');
  const base = git(origin, 'rev-parse', 'HEAD');
  const before = git(work, 'status', '--porcelain');
  const answer = await get('/api/file/archive?path=/workspace/project');
  t.equal(answer.status, 200);
  t.match(Object.fromEntries(answer.headers), {
    'content-type': 'text/x-patch',
    'x-archive-base-commit': base,
    'x-archive-base-ref': 'auto',
    'x-archive-branch': 'work',
    'x-archive-repo-root': encodeURIComponent('/workspace/project/app'),
  });
  t.equal(git(work, 'status', '--porcelain'), before, 'the repository is as it was');
  const again = join(dir, 'again');
  git(dir, 'clone', '-q', origin, again);
  writeFileSync(join(dir, 'x.patch'), answer.bytes);
  git(again, 'apply', join(dir, 'x.patch'));
  t.equal(readFileSync(join(again, 'a.txt'), 'utf8'), 'two\n');
  t.equal(readFileSync(join(again, 'n ä.txt'), 'utf8'), 'new\n');
  t.ok(existsSync(join(again, 'build')), 'a file with the name of an excluded folder');
  t.notOk(existsSync(join(again, 'b.txt')));
  t.notOk(existsSync(join(again, 'node_modules')));
  t.equal((await get('/api/file/archive?path=/workspace/project&base_ref=nope')).status, 400);
  t.equal((await get('/api/file/archive?path=/workspace/project&base_ref=--output')).status, 400);
  t.equal((await get('/api/file/archive?path=/workspace/none')).status, 404);
  mkdirSync(join(dir, 'workspace/plain'));
  t.equal((await get('/api/file/archive?path=/workspace/plain')).status, 400);
});

t.test('archive: everything but what is made anew, credentials and what lies outside', async (t) => {
  const { dir, work, get } = await cloned(t);
  git(work, 'remote', 'set-url', 'origin', 'https://x:a-token-of-a-user@host.test/r.git');
  const long = 'd'.repeat(60);
  mkdirSync(join(work, long, long), { recursive: true });
  writeFileSync(join(work, long, long, 'ü'), Buffer.alloc(600_000, 7));
  mkdirSync(join(work, 'empty'));
  mkdirSync(join(work, 'dist'));
  writeFileSync(join(work, 'dist/x'), 'x');
  symlinkSync('/etc/passwd', join(work, 'link'));
  const unpacked = async (query: string, name: string) => {
    const answer = await get(`/api/file/archive?path=/workspace/project/app&format=tar.gz${query}`);
    t.equal(answer.headers.get('x-archive-repo-remote'), encodeURIComponent('https://host.test/r.git'));
    mkdirSync(join(dir, name));
    writeFileSync(join(dir, `${name}.tgz`), answer.bytes);
    execFileSync('tar', ['-xzf', `../${name}.tgz`], { cwd: join(dir, name) });
    return (path: string) => join(dir, name, 'app', path);
  };
  const usual = await unpacked('', 'usual');
  t.equal(readFileSync(usual('a.txt'), 'utf8'), 'two\n');
  t.ok(readFileSync(usual(`${long}/${long}/ü`)).equals(Buffer.alloc(600_000, 7)));
  t.ok(existsSync(usual('empty')));
  for (const path of ['link', 'dist', '.git']) t.notOk(existsSync(usual(path)), path);
  t.match(JSON.parse(readFileSync(usual('archive_manifest.json'), 'utf8')), { format: 'tar.gz', file_count: 3 });

  const whole = await unpacked('&use_default_excludes=false&exclude=*.txt&exclude=d*/d*', 'whole');
  t.ok(existsSync(whole('dist/x')));
  t.ok(existsSync(whole('.git/HEAD')));
  for (const path of ['a.txt', `${long}/${long}`, '.git/config', '.git/logs']) t.notOk(existsSync(whole(path)), path);
});

t.test('folders to choose from', async (t) => {
  const { dir, call } = await cloned(t);
  for (const name of ['B', 'a', '.c']) mkdirSync(join(dir, 'workspace/pick', name), { recursive: true });
  const search = async (query: string) =>
    (await call('GET', `/api/file/search_subdirs?path=/workspace/pick${query}`)).body as {
      items: { name: string }[];
      next_page_id: string | null;
    };
  const names = async (query: string) => (await search(query)).items.map(({ name }) => name);
  t.same(await names(''), ['a', 'B']);
  t.same(await names('&include_hidden=true'), ['.c', 'a', 'B']);
  const first = await search('&limit=1');
  t.equal(first.next_page_id, 'b');
  t.same(await names(`&limit=1&page_id=${first.next_page_id ?? ''}`), ['B']);
  const home = (await call('GET', '/api/file/home')).body as { locations: { label: string }[] };
  t.same(home.locations.map(({ label }) => label), ['/workspace', '/']); // prettier-ignore
});
