/** The cache that knows own writes. */
import t from 'tap';
import { createFreshCache } from './fresh.js';
import { createFakeClock } from './testing/clock.js';

const versioned = (name: string, resourceVersion: string, uid = 'u') => ({
  metadata: { name, namespace: 'ns', uid, resourceVersion },
});

t.test('own writes are known at once and not undone by older events', async (t) => {
  const clock = createFakeClock();
  const heard: string[] = [];
  const cache = createFreshCache({ clock, changed: ({ metadata }) => heard.push(metadata.resourceVersion ?? '') });
  const version = () => cache.get('ns/a')?.metadata.resourceVersion;
  cache.handler.upsert(versioned('a', '9'));
  t.ok(cache.note(versioned('a', '12')));
  cache.handler.upsert(versioned('a', '10'));
  t.equal(version(), '12', 'an event from before the write');
  t.notOk(cache.note(versioned('a', '11')));
  t.equal(version(), '12', 'a late answer');
  cache.handler.upsert(versioned('a', '100'));
  t.equal(version(), '100');
  cache.note(versioned('a', '101', 'next'));
  cache.handler.remove(versioned('a', '100', 'u'));
  t.equal(version(), '101', 'the end of the one before it');
  cache.noteGone(versioned('a', '101', 'u'));
  t.equal(version(), '101');
  cache.noteGone(versioned('a', '101', 'next'));
  t.equal(version(), undefined);
  t.same(heard, ['9', '100'], 'own writes are no news, nor are events that came too late');
});

t.test('what a create answered and no watch told is dropped, once the watch has spoken since', async (t) => {
  const clock = createFakeClock();
  const heard: string[] = [];
  const cache = createFreshCache({ clock, changed: ({ metadata: { name } }) => heard.push(name) });
  cache.note(versioned('ghost', '5'));
  cache.handler.upsert(versioned('real', '6'));
  cache.note(versioned('real', '7'));
  cache.expire(clock.now());
  t.ok(cache.get('ns/ghost'), 'silence proves nothing');
  cache.expire(clock.now() + 60_000);
  t.equal(cache.get('ns/ghost'), undefined);
  t.ok(cache.get('ns/real'));
  t.same(heard, ['real', 'ghost'], 'whoever counts on it looks again');
});
