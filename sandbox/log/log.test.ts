import {
  appendFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { localTime } from '../conversations/times.js';
import { decodeLine, encodeLine } from './line.js';
import { openLog } from './log.js';
import { countEvents, searchEvents } from './search.js';

const START = Date.UTC(2026, 4, 1) * 1000;
const event = (n: number, more: Record<string, unknown> = {}) => ({
  id: `id-${n}`,
  timestamp: localTime(START + n * 1_000_000),
  kind: 'ActionEvent',
  source: 'agent',
  ...(n === 0 ? {} : { parent_id: `id-${n - 1}` }),
  ...more,
});
const message = (n: number, text: string) =>
  event(n, { kind: 'MessageEvent', source: 'user', llm_message: { content: [{ type: 'text', text }] } });
const idsOf = (texts: string[]) => texts.map((text) => (JSON.parse(text) as { id: string }).id);

t.test('a line says what it is, and a changed byte shows', async (t) => {
  const line = encodeLine('E', '{"text":"ü"}');
  const body = line.subarray(0, -1);
  t.match(decodeLine(body, 100), { type: 'E', offset: 111, length: 13, json: '{"text":"ü"}' });
  for (let at = 0; at < body.length; at++) {
    const wrong = Buffer.from(body);
    wrong[at] = (wrong[at] ?? 0) ^ 1;
    t.equal(decodeLine(wrong, 0), undefined, `byte ${at}`);
  }
});

t.test('events come back in order, from memory and from disk', async (t) => {
  const path = join(t.testdir(), 'events.log');
  const log = await openLog({ path });
  const heard: number[] = [];
  log.subscribe((seq) => heard.push(seq));
  const seqs = await Promise.all(Array.from({ length: 300 }, (_, n) => log.append(event(n, { text: 'ä'.repeat(n) }))));
  await log.appendUsage({ usage: 1 });
  t.same(
    seqs,
    Array.from({ length: 300 }, (_, n) => n),
  );
  t.same(heard, seqs, 'listeners hear each once, in order');
  t.same(idsOf(await log.read([299, 0, 150, 0])), ['id-299', 'id-0', 'id-150', 'id-0']);
  t.same(log.index.branch(3), [0, 1, 2, 3]);
  t.same(log.index.branchAfter(3, 1), [2, 3]);
  t.same(log.index.branchAfter(3, 3), []);
  await log.close();
  await t.rejects(log.append(event(300)), /closed/);

  const lines: string[] = [];
  const again = await openLog({ path, onLine: (line) => lines.push(line.type) });
  t.equal(again.index.size, 300);
  t.equal(lines.filter((type) => type === 'U').length, 1);
  t.same(idsOf(await again.read([5, 299])), ['id-5', 'id-299']);
  await again.close();
});

t.test('a torn last line is cut off wherever it was torn; what is before it stays', async (t) => {
  const path = join(t.testdir(), 'events.log');
  const log = await openLog({ path });
  for (const n of [0, 1, 2]) await log.append(event(n));
  const whole = log.length;
  await log.close();
  const content = readFileSync(path);
  const start = content.subarray(0, whole - 1).lastIndexOf(10) + 1;
  for (let cut = start; cut < whole; cut += 7) {
    writeFileSync(path, content);
    truncateSync(path, cut);
    const torn = await openLog({ path });
    t.equal(torn.index.size, 2, `cut at ${cut}`);
    t.equal(torn.repaired, cut - start);
    await torn.append(event(3, { parent_id: 'id-1' }));
    await torn.close();
    const after = await openLog({ path });
    t.same(idsOf(await after.read([0, 1, 2])), ['id-0', 'id-1', 'id-3']);
    await after.close();
  }
});

t.test('a damaged line in the middle is passed over and counted', async (t) => {
  const path = join(t.testdir(), 'events.log');
  const log = await openLog({ path });
  await log.append(event(0));
  await log.close();
  appendFileSync(path, 'garbage\n');
  appendFileSync(path, encodeLine('E', JSON.stringify(event(1))));
  const after = await openLog({ path });
  t.equal(after.damaged, 1);
  t.equal(after.repaired, 0);
  t.same(idsOf(await after.read([0, 1])), ['id-0', 'id-1']);
  await after.close();
});

t.test('branches: a tree, of which one path is walked', async (t) => {
  const log = await openLog({ path: join(t.testdir(), 'events.log') });
  for (const [n, parent] of [
    [0, undefined],
    [1, 'id-0'],
    [2, 'id-1'],
    [3, 'id-0'],
    [4, '__root__'],
  ] as const)
    await log.append(event(n, { parent_id: parent }));
  t.same(log.index.branch(3), [0, 3]);
  t.same(log.index.branchAfter(3, 0), [3]);
  t.equal(log.index.branchAfter(3, 1), undefined, 'not on that path');
  t.same(log.index.branch(4), [4]);
  await log.close();
});

t.test('search: filters, order, pages', async (t) => {
  const log = await openLog({ path: join(t.testdir(), 'events.log') });
  for (let n = 0; n < 200; n++) await log.append(n % 10 === 0 ? message(n, `Word ${n}`) : event(n));
  const ids = async (query: Parameters<typeof searchEvents>[1]) => {
    const { items, nextPageId } = await searchEvents(log, query);
    return { ids: idsOf(items), next: nextPageId };
  };
  t.same(await ids({ limit: 2 }), { ids: ['id-0', 'id-1'], next: 'id-2' });
  t.same(await ids({ limit: 2, pageId: 'id-198' }), { ids: ['id-198', 'id-199'], next: null });
  t.same(await ids({ limit: 2, descending: true }), { ids: ['id-199', 'id-198'], next: 'id-197' });
  t.same(await ids({ limit: 1, kind: 'MessageEvent', pageId: 'id-5' }), { ids: ['id-10'], next: 'id-20' });
  t.same((await ids({ limit: 5, kind: 'a.b.MessageEvent' })).ids.length, 5, 'dotted names too');
  t.same(await ids({ limit: 5, kind: 'Nope' }), { ids: [], next: null });
  t.same(await ids({ limit: 5, body: 'word 19' }), { ids: ['id-190'], next: null });
  t.same((await ids({ limit: 9, from: START + 198e6 })).ids, ['id-198', 'id-199']);
  t.same((await ids({ limit: 9, until: START + 1e6 })).ids, ['id-0']);
  t.same((await ids({ limit: 2, pageId: 'unknown' })).ids, ['id-0', 'id-1'], 'an unknown page is the first');
  t.equal(await countEvents(log, {}), 200);
  t.equal(await countEvents(log, { source: 'user' }), 20);
  t.equal(await countEvents(log, { body: 'WORD 1' }), 11);
  await log.close();
});

t.test('hundreds of logs need few open files, and each goes on where it was', async (t) => {
  const dir = t.testdir();
  const pathOf = (n: number) => join(dir, `${n}.log`);
  const logs = await Promise.all(Array.from({ length: 300 }, (_, n) => openLog({ path: pathOf(n) })));
  t.teardown(() => Promise.all(logs.map((log) => log.close())));
  const openFiles = () =>
    readdirSync('/proc/self/fd').filter((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`).startsWith(dir);
      } catch {
        return false;
      }
    }).length;
  for (const round of [0, 1])
    await Promise.all(logs.map(async (log, n) => log.append(event(round, { text: `${n}-${round}` }))));
  if (process.platform === 'linux') {
    // Closing goes on behind the last append.
    for (let tries = 0; openFiles() > 64 && tries < 500; tries++)
      await new Promise((resolve) => setTimeout(resolve, 10));
    t.ok(openFiles() <= 64, `${openFiles()} are open`);
  }
  for (const [n, log] of logs.entries()) {
    const texts = (await log.read([0, 1])).map((text) => (JSON.parse(text) as { text: string }).text);
    t.same(texts, [`${n}-0`, `${n}-1`]);
  }
  rmSync(pathOf(0));
  await t.rejects(async () => logs[0]?.append(event(2)), { code: 'ENOENT' }, 'a file that is gone is not begun anew');
  t.notOk(existsSync(pathOf(0)));
});
