import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { request } from 'undici';
import { createGitDispatcher, createReach, isGitHost, UnreachableHost } from './reach.js';

t.test('which addresses may be dialled', async (t) => {
  const none = createReach([]);
  for (const address of ['140.82.121.3', '8.8.8.8', '172.15.0.1', '172.32.0.1', '2606:4700::1111'])
    t.ok(none.allows('host.example', address), address);
  const inner = [
    '127.0.0.1',
    '10.1.2.3',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '169.254.169.254',
    '100.64.0.1',
  ];
  const inner6 = ['::1', '::', 'fd00::1', 'fe80::1', '::ffff:10.0.0.1', '::ffff:169.254.169.254', '64:ff9b::a00:1'];
  for (const address of ['0.0.0.0', ...inner, ...inner6]) t.notOk(none.allows('host.example', address), address);
  const some = createReach(['gitlab.corp.example', '*.dev.example', '10.20.0.0/16', 'fd00::/8']);
  t.ok(some.allows('GitLab.corp.example', '10.1.1.1'));
  t.ok(some.allows('a.dev.example', '192.168.0.1'));
  t.ok(some.allows('other.example', '10.20.1.1'));
  t.ok(some.allows('other.example', 'fd00::5'));
  t.notOk(some.allows('other.example', '10.21.1.1'));
  t.notOk(some.allows('dev.example', '10.1.1.1'));
  t.notOk(some.allows('evildev.example', '10.1.1.1'));
});

t.test('entries', async (t) => {
  for (const entry of ['a.example', '*.a.example', '10.0.0.0/8', '10.0.0.1', 'fd00::/8']) t.ok(isGitHost(entry), entry);
  for (const entry of ['a/b', '*', 'a b', '10.0.0.0/33', '10.0.0.0/x', 'https://a']) t.notOk(isGitHost(entry), entry);
});

t.test('a connection is refused by the address that a name has, and by the address itself', async (t) => {
  const server = createServer((_request, response) => response.end('inside'));
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
  const { port } = server.address() as AddressInfo;
  t.teardown(() => server.close());
  const [shut, open] = [createGitDispatcher([]), createGitDispatcher(['localhost'])];
  t.teardown(() => Promise.all([shut.close(), open.close()]));
  // The last two are spellings of 127.0.0.1.
  for (const host of ['localhost', '127.0.0.1', '[::1]', '[::ffff:127.0.0.1]', '2130706433', '0x7f.1'])
    await t.rejects(request(`http://${host}:${port}/`, { dispatcher: shut }), UnreachableHost, host);
  const answer = await request(`http://localhost:${port}/`, { dispatcher: open });
  t.equal(await answer.body.text(), 'inside');
});
