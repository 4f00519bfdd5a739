import t from 'tap';
import { caller, folder, startHere } from '../testing/server.js';

t.test('MCP servers of the settings: one at a time, credentials hidden', async (t) => {
  const server = await startHere(folder(t));
  t.teardown(() => server.close());
  const call = caller(server.url);
  const path = '/api/settings/mcp/docs';
  const made = await call('POST', path, {
    url: 'https://docs.test/mcp',
    headers: { 'X-Token': 'hush', 'X-Team': 't' },
  });
  t.equal(made.status, 201);
  t.match(made.body, { agent_settings: { mcp_config: { docs: { headers: { 'X-Token': '**********' } } } } });
  t.equal((await call('POST', path, { url: 'https://other.test' })).status, 409);
  t.match(await call('POST', '/api/settings/mcp/none', { args: [] }), { status: 400 });
  const patch = await call('PATCH', path, { timeout: 5, headers: { 'X-Token': '**********', 'X-Team': null } });
  t.equal(patch.status, 200);
  const plain = await call('GET', '/api/settings', undefined, { 'x-expose-secrets': 'plaintext' });
  t.strictSame((plain.body as { agent_settings: { mcp_config: unknown } }).agent_settings.mcp_config, {
    docs: { url: 'https://docs.test/mcp', headers: { 'X-Token': 'hush' }, timeout: 5 },
  });
  t.match(await call('PATCH', path, { url: 'ftp://docs.test' }), { status: 400 });
  t.equal((await call('PATCH', '/api/settings/mcp/none', {})).status, 404);
  t.equal((await call('DELETE', path)).status, 200);
  t.equal((await call('DELETE', path)).status, 404);
});

t.test('saved folders: each path once, found again by the next server', async (t) => {
  const dir = folder(t);
  const first = await startHere(dir);
  const call = caller(first.url);
  const one = { id: '1', name: 'App', path: '/workspace/project/app' };
  t.same((await call('POST', '/api/workspaces', { workspaces: [one, { ...one, id: '2' }] })).body, {
    workspaces: [one],
    workspaceParents: [],
  });
  t.equal((await call('POST', '/api/workspaces', { workspaces: [{ id: '1' }] })).status, 422);
  await call('POST', '/api/workspaces/parents', { parents: [{ id: 'p', name: 'All', path: '/workspace' }] });
  await first.close();
  const second = await startHere(dir);
  t.teardown(() => second.close());
  const again = caller(second.url);
  t.match((await again('GET', '/api/workspaces')).body, { workspaces: [one], workspaceParents: [{ id: 'p' }] });
  t.same((await again('DELETE', '/api/workspaces?path=/workspace/project/app')).body, { deleted: true });
  t.equal((await again('DELETE', '/api/workspaces?path=/workspace/project/app')).status, 404);
});
