/** How much history is stored, on the database that the suites use. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import t from 'tap';
import type { Sandbox } from '../../contracts/resources.js';
import { createLog } from '../../process/log.js';
import { openDatabase } from '../db/open.js';
import { createIngest } from './ingest.js';
import { createQuota, type QuotaLimits } from './quota.js';

const given = process.env.SANDLOT_TEST_DATABASE_URL ?? '';
const folder = mkdtempSync(join(tmpdir(), 'sandlot-quota-'));
const db = await openDatabase({
  url: given === '' ? `pglite:${folder}` : given,
  log: createLog({ name: 'test', level: 'fatal' }),
});
t.teardown(async () => {
  await db.close();
  rmSync(folder, { recursive: true, force: true });
});

const MANY = 1_000_000_000;
const random = () => randomBytes(16).toString('hex');

/** A user with one conversation, under these limits; `report` tells of events and gives what is stored afterwards. */
async function scene(limits: Partial<QuotaLimits>) {
  let time = Date.parse('2026-01-01T00:00:00Z');
  const clock = { now: () => time, sleep: () => Promise.resolve() };
  const ownerId = random();
  const quota = createQuota({
    query: db.query,
    clock,
    limits: { conversationEvents: MANY, conversationBytes: MANY, userBytes: MANY, ...limits },
  });
  const ingest = createIngest({ prisma: db.prisma, query: db.query, clock, quota });
  const sandbox = { metadata: { name: random(), namespace: 'ns' }, spec: { owner: ownerId } } as Sandbox;
  const conversation = async () => {
    const id = random();
    const row = { id, ownerId, sandboxId: sandbox.metadata.name, title: 'a', workingDir: '/w' };
    await db.prisma.conversation.create({ data: row });
    return async (count: number) => {
      const events = Array.from({ length: count }, () => ({
        id: random(),
        kind: 'MessageEvent',
        timestamp: '2026-01-01T00:00:00',
        text: 'x'.repeat(100),
      }));
      await ingest.events(sandbox, id, events);
      const rows = await db.prisma.event.findMany({ where: { conversationId: id }, orderBy: { seq: 'asc' } });
      return rows.map(({ kind, body }) =>
        kind === 'MessageEvent' ? 'message' : (JSON.parse(body) as { detail: string }).detail,
      );
    };
  };
  return { conversation, pass: (ms: number) => void (time += ms) };
}

t.test('a conversation that is full ends with one event that says so; its neighbour goes on', async (t) => {
  const { conversation } = await scene({ conversationEvents: 3 });
  const report = await conversation();
  t.same(await report(2), ['message', 'message']);
  t.same(
    await report(2),
    Array.from({ length: 4 }, () => 'message'),
    'the batch that reaches the limit is whole',
  );
  const full = await report(1);
  t.equal(full.length, 5);
  t.match(full[4], /as much history as one may store \(3 events/);
  t.same(await report(1), full, 'said once');
  t.same(await (await conversation())(1), ['message']);
});

t.test('bytes count too', async (t) => {
  const { conversation } = await scene({ conversationBytes: 300 });
  const report = await conversation();
  await report(2);
  t.match((await report(1)).at(-1), /history/);
});

t.test('a user who stores too much: every conversation, half a minute later at most', async (t) => {
  const { conversation, pass } = await scene({ userBytes: 300 });
  const report = await conversation();
  t.equal((await report(5)).length, 5);
  const other = await conversation();
  pass(31_000);
  t.match(await other(1), [/as one user may store/]);
});
