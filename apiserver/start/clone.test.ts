/** A private repository is cloned by real git from a real git server that asks for a login; the token stays nowhere. */
import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { cloneUrlOf, loginOf, prepareCommand, WORKSPACE } from './repository.js';

const root = t.testdir({ repos: { owner: {} }, workspace: {} });
const env = { PATH: process.env.PATH, HOME: root };
const sh = async (command: string, cwd: string) =>
  (await promisify(execFile)('bash', ['-c', command], { cwd, env })).stdout;

/** git's own CGI program behind a login, as a provider has it. */
function serveGit(request: IncomingMessage, response: ServerResponse): void {
  const expected = `Basic ${Buffer.from('oauth2:to"k$en').toString('base64')}`;
  if (request.headers.authorization !== expected) {
    response.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end();
    return;
  }
  const [path = '', query = ''] = (request.url ?? '').split('?');
  const cgi = spawn('git', ['http-backend'], {
    env: {
      ...env,
      GIT_PROJECT_ROOT: join(root, 'repos'),
      GIT_HTTP_EXPORT_ALL: '1',
      PATH_INFO: path,
      QUERY_STRING: query,
      REQUEST_METHOD: request.method ?? 'GET',
      CONTENT_TYPE: request.headers['content-type'] ?? '',
      GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
    },
  });
  const chunks: Buffer[] = [];
  cgi.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  cgi.on('close', () => {
    const output = Buffer.concat(chunks);
    const end = output.indexOf('\r\n\r\n');
    const lines = output
      .subarray(0, end)
      .toString()
      .split('\r\n')
      .map((line) => line.split(': ') as [string, string]);
    const headers = Object.fromEntries(lines);
    response.writeHead(Number(headers.Status?.slice(0, 3) ?? 200), headers).end(output.subarray(end + 4));
  });
  request.pipe(cgi.stdin);
}

t.test('a private repository', async (t) => {
  const work = join(root, 'source');
  mkdirSync(work);
  writeFileSync(join(work, 'a.txt'), 'private');
  await sh('git init -q -b main && git add . && git -c user.name=a -c user.email=b commit -qm first', work);
  await sh(`git clone -q --bare ${work} repos/owner/private.git`, root);
  const server = createServer(serveGit);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const workspace = join(root, 'workspace');
  const clone = async (token: string, name: string) => {
    const login = loginOf('github', token);
    const passwordFile = '.sandlot-login-1';
    writeFileSync(join(workspace, passwordFile), login.password);
    const command = prepareCommand({
      dir: `${WORKSPACE}/project/${name}`,
      cloneUrl: cloneUrlOf('owner/private', 'github', host) ?? '',
      login: { user: login.user, passwordFile },
      branch: 'main',
      fullClone: false,
      userName: null,
      userEmail: null,
    });
    t.notOk(command.includes(token), 'the command, which is logged, does not hold it');
    await sh(command, workspace);
  };
  await clone('to"k$en', 'one');
  const cloned = join(workspace, 'project/one');
  t.equal(readFileSync(join(cloned, 'a.txt'), 'utf8'), 'private');
  t.notMatch(readFileSync(join(cloned, '.git/config'), 'utf8'), /to"k|oauth2|credential/);
  t.same(readdirSync(workspace), ['project'], 'the file is gone');
  await t.rejects(clone('wrong', 'two'), /Authentication failed/);
  t.notOk(existsSync(join(workspace, '.sandlot-login-1')), 'also after a refusal');
});

t.test('logins', async (t) => {
  t.same(loginOf('gitlab', 'glpat:x'), { user: 'oauth2', password: 'glpat:x' });
  t.same(loginOf('bitbucket', 'me:app-password'), { user: 'me', password: 'app-password' });
  t.same(loginOf('bitbucket', 'ATCTT'), { user: 'x-token-auth', password: 'ATCTT' });
});
