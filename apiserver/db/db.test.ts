import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createLog } from '../../process/log.js';
import { createBox, SealedError } from './box.js';
import { FolderInUseError, lockFolder } from './lock.js';
import { migrate, MigrationError, readMigrations, type Connection } from './migrate.js';
import { connectionOf, startPglite } from './embedded.js';
import { openDatabase } from './open.js';
import { ownedBy, scopeArgs } from './owned.js';

const log = createLog({ name: 'test', level: 'fatal' });
const given = process.env.SANDLOT_TEST_DATABASE_URL ?? '';
const url = given === '' ? `pglite:${mkdtempSync(join(tmpdir(), 'sandlot-db-'))}` : given;

t.test('sealed values open where they belong, with keys that are known', async (t) => {
  const box = createBox(['new secret', 'old secret']);
  const sealed = box.seal('hush ✓', 'secrets/a/x');
  t.equal(box.open(sealed, 'secrets/a/x'), 'hush ✓');
  t.not(sealed, box.seal('hush ✓', 'secrets/a/x'), 'never the same twice');
  t.throws(() => box.open(sealed, 'secrets/b/x'), SealedError, 'not in another row');
  t.throws(() => box.open(`${sealed.slice(0, -2)}AA`, 'secrets/a/x'), SealedError, 'not when changed');
  t.equal(box.open(createBox(['old secret']).seal('earlier', 'p'), 'p'), 'earlier', 'after a rotation');
  t.throws(() => createBox(['another']).open(sealed, 'secrets/a/x'), /unknown key/);
});

t.test('one process a folder, also after a crash', async (t) => {
  const folder = join(t.testdir(), 'db');
  const unlock = lockFolder(folder);
  t.throws(() => lockFolder(folder), new RegExp(`in use by process ${process.pid}`));
  unlock();
  t.notOk(existsSync(join(folder, 'lock')));

  writeFileSync(join(folder, 'lock'), JSON.stringify({ pid: process.pid, started: 'another time' }));
  const again = lockFolder(folder);
  again();
  const child = spawn(process.execPath, ['-e', '0']);
  await once(child, 'exit');
  writeFileSync(join(folder, 'lock'), JSON.stringify({ pid: child.pid, started: '1' }));
  lockFolder(folder)();
  t.pass('the lock of a dead process does not count');
});

t.test('an embedded database: made, locked, kept', async (t) => {
  const folder = join(t.testdir(), 'db');
  const first = await openDatabase({ url: `pglite:${folder}`, log });
  await t.rejects(openDatabase({ url: `pglite:${folder}`, log }), FolderInUseError);
  await first.prisma.user.create({ data: { id: 'a' } });
  await first.close();
  const second = await openDatabase({ url: `pglite:${folder}`, log });
  t.equal(await second.prisma.user.count(), 1);
  await second.close();
  t.notOk(existsSync(join(folder, 'lock')), 'the lock is given back');
});

t.test('migrations: once, in order, whole or not at all', async (t) => {
  const pglite = await startPglite(join(t.testdir(), 'data'));
  t.teardown(() => pglite.close());
  const connection = connectionOf(pglite);
  const known = readMigrations();
  await migrate(connection, known);
  t.same(await migrate(connection, known), [], 'the second time there is nothing to do');
  const make = (name: string, sql: string) => ({ name, sql, checksum: name });
  const good = make('29990101000000_good', 'CREATE TABLE extra (id int)');
  const bad = make('29990102000000_bad', 'CREATE TABLE half (id int); SELECT nonsense');
  await t.rejects(migrate(connection, [...known, good, bad]), /29990102000000_bad failed/);
  const tables = await connection.query<{ n: number }>(
    `SELECT count(*)::int AS n FROM pg_tables WHERE tablename IN ('extra', 'half')`,
  );
  t.same(tables, [{ n: 1 }], 'the good one stays, nothing of the bad one');
  await t.rejects(migrate(connection, known), /newer Sandlot/);
  await t.rejects(migrate(connection, [...known.map((one) => ({ ...one, checksum: 'x' })), good]), MigrationError);
});

t.test('folders of migrations are read in the order of their names', async (t) => {
  const folder = t.testdir({ b: { 'migration.sql': 'B' }, a: { 'migration.sql': 'A' }, 'migration_lock.toml': '' });
  mkdirSync(join(folder, 'c'));
  writeFileSync(join(folder, 'c', 'migration.sql'), 'C');
  t.same(
    readMigrations(folder).map(({ name, sql }) => name + sql),
    ['aA', 'bB', 'cC'],
  );
});

t.test('a user sees, changes and makes only their own rows', async (t) => {
  const db = await openDatabase({ url, log });
  t.teardown(() => db.close());
  const a = ownedBy(db.prisma, 'owner-a');
  const b = ownedBy(db.prisma, 'owner-b');
  const id = `c${Date.now()}`;
  await a.conversation.create({ data: { id, ownerId: 'owner-b', sandboxId: 's', title: 'mine', workingDir: '/w' } });
  const views = async (view: typeof a) => [
    await view.conversation.count({ where: { id } }),
    (await view.conversation.findMany({ where: { OR: [{ id }, { title: 'mine' }] } })).length,
    (await view.conversation.findUnique({ where: { id } })) === null ? 0 : 1,
  ];
  t.same(await views(a), [1, 1, 1], 'the owner is who asks, whatever the data say');
  t.same(await views(b), [0, 0, 0]);
  t.equal((await b.conversation.updateMany({ where: { id }, data: { title: 'stolen' } })).count, 0);
  t.equal((await b.conversation.deleteMany({ where: { id } })).count, 0);
  t.same(await b.conversation.updateManyAndReturn({ where: { id }, data: { ownerId: 'owner-b' } }), []);
  t.equal((await a.conversation.updateMany({ where: { id }, data: { ownerId: 'owner-b', title: 'new' } })).count, 1);
  t.equal(
    (await db.prisma.conversation.findUnique({ where: { id } }))?.ownerId,
    'owner-a',
    'a row does not change hands',
  );
  await a.conversation.deleteMany({ where: { id } });
  t.throws(() => scopeArgs('executeRaw', {}, 'a'), /no owner scope/);
});

t.test('a failing connection does not half-apply', async (t) => {
  const ran: string[] = [];
  const connection: Connection = {
    query: () => Promise.resolve([]),
    script: (sql) => {
      ran.push(sql.slice(0, 8));
      return sql === 'COMMIT' ? Promise.reject(new Error('cut')) : Promise.resolve();
    },
  };
  await t.rejects(migrate(connection, [{ name: 'a', sql: 'SELECT 1', checksum: 'x' }]), /a failed/);
  t.equal(ran.at(-1), 'ROLLBACK');
});
