/** A disk without space: people are told, nothing that was acknowledged is lost, and work goes on when there is space. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { startModel } from './agent/testing/model.js';
import { caller, folder, lineRunner, listen, says, startChild, statusOf, until, type Call } from './testing/server.js';

/** A file system of a few megabytes; undefined where this process may not mount one. */
function smallDisk(t: Test, at: string, size: string): string | undefined {
  mkdirSync(at, { recursive: true });
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'none', at]).status !== 0) return undefined;
  t.teardown(() => spawnSync('umount', ['-l', at]));
  return at;
}
/** Takes all the space that there is. */
function fill(path: string): void {
  for (const piece of [1 << 16, 4096, 512, 1])
    try {
      for (;;) writeFileSync(path, Buffer.alloc(piece), { flag: 'a' });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    }
}
interface Event {
  id: string;
  kind: string;
  code?: string;
  detail?: string;
}
const history = async (call: Call, id: string): Promise<Event[]> =>
  ((await call('GET', `/api/conversations/${id}/events/search?limit=100`)).body as { items: Event[] }).items;
const settled = (status: string): boolean => status !== 'running';

t.test('the disk fills in the middle of a run', async (t) => {
  const dir = folder(t);
  const disk = smallDisk(t, join(dir, 'disk'), '4m');
  if (disk === undefined) return t.pass('no file system can be mounted here');
  const model = await startModel();
  t.teardown(() => model.close());
  const { child, url } = await startChild(dir, { OH_CONVERSATIONS_PATH: join(disk, 'conversations') });
  t.teardown(() => child.kill('SIGKILL'));
  const call = caller(url);
  const agent = {
    llm: { model: 'openai/scripted', api_key: 'sk-x', base_url: model.url, num_retries: 0 },
    tools: [{ name: 'terminal' }],
  };
  const { id } = (await call('POST', '/api/conversations', lineRunner({ agent }))).body as { id: string };
  const { frames } = await listen(url, `/sockets/events/${id}`);
  let go = (): void => undefined;
  const hold = new Promise<void>((resolve) => (go = resolve));
  // More than the rest of the log's last page.
  const text = 'I look. '.repeat(5000);
  model.script({ hold, text, calls: [{ tool: 'terminal', args: { command: 'echo one' } }] }, { text: 'all done' });
  await call('POST', `/api/conversations/${id}/events`, says('work'));
  await until(
    () => Promise.resolve(model.requests.length),
    (count) => count > 0,
  );
  fill(join(disk, 'filler'));
  go();
  t.equal(await until(() => statusOf(call, id), settled), 'error', 'the run ends');
  const told = await until(
    () => Promise.resolve(frames.filter((frame) => frame['kind'] === 'ConversationErrorEvent')),
    (found) => found.length > 0,
  );
  t.match(told[0], { code: 'DiskFull', detail: /disk of the sandbox is full/i, classification: { retryable: true } });
  const refused = await call('POST', `/api/conversations/${id}/events`, says('more '.repeat(2000)));
  t.match(
    refused,
    { status: 507, body: { detail: /disk of the sandbox is full/i } },
    'a message that cannot be kept is refused',
  );
  t.equal((await call('POST', '/api/conversations', lineRunner())).status, 507, 'no conversation is half made');
  t.equal((await call('GET', '/alive')).status, 200);
  t.equal((await call('GET', `/api/conversations/${id}`)).status, 200, 'what is there can be read');

  rmSync(join(disk, 'filler'));
  const kept = await until(
    () => history(call, id),
    (events) => events.some((event) => event.code === 'DiskFull'),
  );
  t.equal(kept.filter((event) => event.code === 'DiskFull').length, 1, 'the history tells it once there is space');
  t.equal((await call('POST', `/api/conversations/${id}/events`, says('again'))).status, 200);
  t.equal(
    await until(
      () => statusOf(call, id),
      (status) => status === 'finished' || status === 'error',
    ),
    'finished',
  );
  const seen = frames.filter((frame) => frame['key'] !== 'full_state' && frame['code'] !== 'DiskFull');
  const stored = new Set((await history(call, id)).map((event) => event.id));
  t.same(
    seen.filter((frame) => !stored.has(String(frame['id']))),
    [],
    'all that sockets had seen is there',
  );

  child.kill('SIGKILL');
  await new Promise((resolve) => child.once('exit', resolve));
  const second = await startChild(dir, { OH_CONVERSATIONS_PATH: join(disk, 'conversations') });
  t.teardown(() => second.child.kill('SIGKILL'));
  const after = new Set((await history(caller(second.url), id)).map((event) => event.id));
  t.same(
    [...stored].filter((event) => !after.has(event)),
    [],
    'also after a restart',
  );
});

t.test('a server starts on a full disk, and shows what is there', async (t) => {
  const dir = folder(t);
  const disk = smallDisk(t, join(dir, 'disk'), '2m');
  if (disk === undefined) return t.pass('no file system can be mounted here');
  const where = { OH_CONVERSATIONS_PATH: join(disk, 'conversations') };
  const first = await startChild(dir, where);
  const call = caller(first.url);
  const { id } = (await call('POST', '/api/conversations', lineRunner())).body as { id: string };
  await call('POST', `/api/conversations/${id}/events`, says('echo one'));
  await until(
    () => statusOf(call, id),
    (status) => status === 'finished',
  );
  fill(join(disk, 'filler'));
  const ended = new Promise((resolve) => first.child.once('exit', resolve));
  first.child.kill('SIGTERM');
  t.equal(await ended, 0, 'the first one ends in order');
  const second = await startChild(dir, where);
  t.teardown(() => second.child.kill('SIGKILL'));
  const again = caller(second.url);
  t.equal((await again('GET', `/api/conversations/${id}`)).status, 200);
  rmSync(join(disk, 'filler'));
  const events = await until(
    () => history(again, id),
    (items) => Array.isArray(items) && items.length > 0,
  );
  t.ok(events.some((event) => event.kind === 'ObservationEvent'));
});
