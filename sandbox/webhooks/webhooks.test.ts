/** Webhooks: batches in order, attempts, and what a receiver never takes. */
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { WebhookSpec } from '../config.js';
import { openLog } from '../log/log.js';
import { createFeed } from './feed.js';
import { createSender } from './sender.js';

const spec: WebhookSpec = {
  base_url: 'http://receiver',
  headers: {},
  event_buffer_size: 4,
  flush_delay: 3600,
  num_retries: 2,
  retry_delay: 5,
  max_queue_size: 1000,
  max_batch_bytes: 5 << 20,
  max_queue_bytes: 50 << 20,
};
const clock = { now: () => 0, monotonic: () => 0, sleep: () => Promise.resolve() };

/** A receiver that answers with what `status` says of the ids of a batch. */
async function feedTo(t: Test, ids: string[], status: (ids: string[], attempt: number) => number) {
  const log = await openLog({ path: join(t.testdir({}), 'events.log') });
  t.teardown(() => log.close());
  for (const id of ids) await log.append({ id, kind: 'MessageEvent', timestamp: '2026-01-01T00:00:00' });
  const batches: string[] = [];
  const taken: string[] = [];
  const refused: number[] = [];
  const places: number[] = [];
  const sender = createSender({
    spec,
    sessionKey: () => 'key',
    clock,
    request: async (_url, init) => {
      const sent = (JSON.parse(String(init?.body)) as { id: string }[]).map(({ id }) => id);
      batches.push(sent.join(''));
      const answer = status(sent, batches.length);
      if (answer === 200) taken.push(...sent);
      return new Response(null, { status: answer });
    },
  });
  const feed = createFeed({
    spec,
    sender,
    path: '/events/x',
    events: log,
    from: 0,
    onSent: async (next) => void places.push(next),
    onRefused: (seq) => void refused.push(seq),
  });
  t.teardown(() => feed.stop());
  await feed.flush();
  return { batches, taken: taken.join(''), refused, places };
}

t.test('batches go in order, and failures are tried again', async (t) => {
  const sent = await feedTo(t, [...'abcdefg'], (_ids, attempt) => (attempt < 3 ? 503 : 200));
  t.same(sent, { batches: ['abcd', 'abcd', 'abcd', 'efg'], taken: 'abcdefg', refused: [], places: [4, 7] });
});

t.test('a key that is not good yet loses nothing', async (t) => {
  const sent = await feedTo(t, [...'ab'], () => 401);
  t.same(sent, { batches: ['ab', 'ab', 'ab'], taken: '', refused: [], places: [] });
});

t.test('an event that the receiver never takes holds up no other', async (t) => {
  for (const status of [400, 413, 422]) {
    const sent = await feedTo(t, [...'abcXdefg'], (ids) => (ids.includes('X') ? status : 200));
    t.same(sent, {
      batches: ['abcX', 'ab', 'cXde', 'cX', 'c', 'Xdef', 'Xd', 'X', 'defg'],
      taken: 'abcdefg',
      refused: [3],
      places: [2, 3, 4, 8],
    });
  }
});
