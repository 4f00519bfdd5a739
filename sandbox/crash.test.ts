import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { huntCrashes } from './testing/crash-hunt.js';
import { caller, folder, lineRunner, listen, says, startChild, statusOf, until } from './testing/server.js';

interface Page {
  items: { id: string; kind: string; error?: string; key?: string; value?: unknown }[];
}

t.test('kill -9 in a command: nothing acknowledged is lost, the call gets an error, a run goes on', async (t) => {
  const dir = folder(t);
  const first = await startChild(dir);
  const call = caller(first.url);
  const made = await call('POST', '/api/conversations', lineRunner({ secrets: { TOKEN: 'hush-hush' } }));
  const { id } = made.body as { id: string };
  const seen = await listen(first.url, `/sockets/events/${id}`);
  await call('POST', `/api/conversations/${id}/events`, says('echo one\nsleep 100'));
  await until(
    () => Promise.resolve(seen.frames.filter((frame) => frame['kind'] === 'ActionEvent').length),
    (count) => count === 2,
  );
  first.child.kill('SIGKILL');
  await new Promise((resolve) => first.child.once('exit', resolve));

  const second = await startChild(dir);
  t.teardown(() => second.child.kill('SIGKILL'));
  const again = caller(second.url);
  t.equal(await statusOf(again, id), 'error');
  const page = (await again('GET', `/api/conversations/${id}/events/search`)).body as Page;
  const ids = new Set(page.items.map((event) => event.id));
  const acknowledged = seen.frames.filter((frame) => frame['key'] !== 'full_state').map((frame) => String(frame['id']));
  t.same(
    acknowledged.filter((event) => !ids.has(event)),
    [],
    'all that the socket had seen',
  );
  const error = page.items.find((event) => event.kind === 'AgentErrorEvent');
  t.match(error?.error, /A restart occurred while this tool was in progress/);
  t.notOk(page.items.some((event) => event.kind === 'ConversationErrorEvent'));

  await again('POST', `/api/conversations/${id}/events`, says('echo "again $TOKEN" > again.txt'));
  await until(
    () => statusOf(again, id),
    (status) => status === 'finished',
  );
  const file = await again('GET', '/api/file/download?path=/workspace/project/test/again.txt');
  t.equal(file.body, 'again hush-hush\n', 'secrets survive');
});

t.test('SIGTERM in a run: the conversation is paused, and the same folder goes on', async (t) => {
  const dir = folder(t);
  const first = await startChild(dir);
  const call = caller(first.url);
  const { id } = (await call('POST', '/api/conversations', lineRunner())).body as { id: string };
  await call('POST', `/api/conversations/${id}/events`, says('sleep 100'));
  await until(
    async () =>
      ((await call('GET', `/api/conversations/${id}/events/search?kind=ActionEvent`)).body as Page).items.length,
    (count) => count === 1,
  );
  const ended = new Promise((resolve) => first.child.once('exit', resolve));
  first.child.kill('SIGTERM');
  t.equal(await ended, 0);
  const second = await startChild(dir);
  t.teardown(() => second.child.kill('SIGKILL'));
  const again = caller(second.url);
  t.equal(await statusOf(again, id), 'paused');
  await again('POST', `/api/conversations/${id}/run`);
  await until(
    () => statusOf(again, id),
    (status) => status === 'finished' || status === 'error',
  );
});

t.test(
  'SIGTERM in a run while a webhook never answers: in order, within the grace period; a second one at once',
  async (t) => {
    let asked = 0;
    const silent = createServer(() => void asked++);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    t.teardown(() => void (silent.closeAllConnections(), silent.close()));
    const hooks = {
      OH_WEBHOOKS_0_BASE_URL: `http://127.0.0.1:${(silent.address() as AddressInfo).port}`,
      OH_WEBHOOKS_0_EVENT_BUFFER_SIZE: '1',
    };
    const dir = folder(t);
    for (const [signals, code] of [
      [1, 0],
      [2, 1],
    ]) {
      const { child, url } = await startChild(dir, hooks);
      t.teardown(() => child.kill('SIGKILL'));
      const call = caller(url);
      const { id } = (await call('POST', '/api/conversations', lineRunner())).body as { id: string };
      await call('POST', `/api/conversations/${id}/events`, says('sleep 100'));
      await until(
        async () =>
          ((await call('GET', `/api/conversations/${id}/events/search?kind=ActionEvent`)).body as Page).items.length +
          Math.min(asked, 1),
        (count) => count === 2,
      );
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      if (signals === 2) {
        await until(
          () => statusOf(call, id),
          (status) => status === 'paused',
        );
        child.kill('SIGTERM');
      }
      // 1 is also what the end of the grace period gives.
      t.equal(await ended, code);
      const next = await startChild(dir);
      t.equal(await statusOf(caller(next.url), id), 'paused', 'the checkpoint is there');
      const gone = new Promise((resolve) => next.child.once('exit', resolve));
      next.child.kill('SIGKILL');
      await gone;
    }
  },
);

t.test('kill -9 at random moments under traffic', async (t) => {
  await t.resolves(
    huntCrashes({ rounds: 2, seed: 1, report: (line) => void t.comment(line) }),
    'all that was acknowledged is there',
  );
});
