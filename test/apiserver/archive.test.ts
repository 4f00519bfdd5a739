/** Deleted conversations in an archive: a folder, a real Azurite and a real S3 server from npm. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pathToFileURL } from 'node:url';
import { BlobServiceClient } from '@azure/storage-blob';
import { unzipSync } from 'fflate';
import t, { type Test } from 'tap';
import { createArchive } from '../../apiserver/archive/archive.js';
import { openStore, type ArchiveSettings } from '../../apiserver/archive/store.js';
import { createLeases } from '../../apiserver/db/leases.js';
import { removeConversation } from '../../apiserver/conversations/remove.js';
import { SANDBOX, type Sandbox } from '../../contracts/resources.js';
import { packageRoot } from '../../process/root.js';
import { systemClock } from '../../process/clock.js';
import { newId, openTestDatabase, quiet, startRig } from '../support/api-rig.js';
import { endSuite, startCluster } from '../support/cluster.js';
import { freePorts } from '../support/stack.js';

t.setTimeout(120_000);
const DAY = 24 * 3_600_000;
const EVENTS = 450;
const cluster = await startCluster();
const db = await openTestDatabase();
const root = mkdtempSync(join(tmpdir(), 'sandlot-archive-'));
const keepMs = 30 * DAY;

const bodyOf = (n: number) => ({ id: `e-${n}`, kind: 'MessageEvent', text: `line\n${n} \u2028 ${'x'.repeat(n)}` });

async function addConversation(): Promise<string> {
  const id = newId();
  await db.prisma.conversation.create({
    data: { id, ownerId: 'local', sandboxId: id, title: 'kept', workingDir: '/workspace/project' },
  });
  await db.prisma.event.createMany({
    data: Array.from({ length: EVENTS }, (_, n) => ({
      conversationId: id,
      ownerId: 'local',
      id: `e-${n}`,
      kind: 'MessageEvent',
      // Several of one time: their order is that of arrival.
      timestamp: `2026-05-01T09:${String(Math.floor(n / 100)).padStart(2, '0')}:00.000000`,
      body: n === 7 ? JSON.stringify(bodyOf(n), null, 2) : JSON.stringify(bodyOf(n)),
    })),
  });
  return id;
}

async function behaves(t: Test, settings: ArchiveSettings): Promise<void> {
  const rig = await startRig(cluster, db, { config: { archive: settings } });
  t.teardown(() => rig.stop());
  const id = await addConversation();
  const download = async () => {
    const answer = await rig.server.app.inject({ url: `/api/v1/app-conversations/${id}/download`, headers: { host: 'localhost:3000' } }); // prettier-ignore
    return { status: answer.statusCode, bytes: answer.rawPayload };
  };
  const filesOf = (bytes: Buffer) =>
    Object.entries(unzipSync(bytes)).map(([name, file]) => [name, JSON.parse(Buffer.from(file).toString()) as unknown]);
  const before = filesOf((await download()).bytes);
  t.equal(before.length, EVENTS + 1);

  t.equal((await rig.call('DELETE', `/api/v1/app-conversations/${id}`)).status, 200);
  t.equal(await db.prisma.event.count({ where: { conversationId: id } }), 0, 'the database has it no longer');
  const after = await download();
  t.equal(after.status, 200);
  t.same(filesOf(after.bytes), before, 'the archive has all of it, in order');
  const archive = rig.server.deps.archive;
  t.equal(await archive?.read('somebody', id, 10), undefined, 'nobody else’s');
  await t.rejects(async () => void (await archive?.read('local', id, EVENTS - 1)), { code: 'too_many_events' });

  const store = await openStore(settings);
  const breaks = Readable.from(
    (function* () {
      yield Buffer.alloc(6 * 1024 * 1024, 1);
      throw new Error('the database is gone');
    })(),
    { objectMode: false },
  );
  await t.rejects(store.put('conversations/half', breaks));
  t.equal(await store.get('conversations/half'), undefined, 'whole or not at all');
  const large = Buffer.alloc(11 * 1024 * 1024, 7);
  await store.put('conversations/large', Readable.from([large], { objectMode: false }));
  const chunks: Buffer[] = [];
  for await (const chunk of (await store.get('conversations/large')) ?? []) chunks.push(chunk as Buffer);
  t.ok(Buffer.concat(chunks).equals(large), 'in several parts');
  await store.remove('conversations/large');
  await store.remove('conversations/large');
  await store.put('reports/of-others.csv', Readable.from([Buffer.from('not ours')], { objectMode: false }));

  t.equal(await archive?.sweep(), 0, 'too young');
  const later = createArchive({
    settings,
    prisma: db.prisma,
    leases: createLeases(db),
    clock: { ...systemClock, now: () => Date.now() + 31 * DAY },
    log: quiet(),
  });
  t.equal(await later.sweep(), 1);
  await later.stop();
  const foreign = await store.get('reports/of-others.csv');
  t.not(foreign, undefined, 'what others keep there is left alone');
  foreign?.resume();
  await store.close();
  t.equal((await download()).status, 404);
}

t.test('a folder', (t) => behaves(t, { url: pathToFileURL(join(root, 'folder')).href, keepMs }));

t.test('S3', async (t) => {
  process.env.AWS_ACCESS_KEY_ID = 'S3RVER';
  process.env.AWS_SECRET_ACCESS_KEY = 'S3RVER';
  const S3rver = createRequire(import.meta.url)('s3rver') as new (options: object) => {
    run(): Promise<{ port: number }>;
    close(): Promise<void>;
  };
  const server = new S3rver({
    port: 0,
    address: '127.0.0.1',
    silent: true,
    directory: join(root, 's3'),
    configureBuckets: [{ name: 'sandlot-test' }],
  });
  const { port } = await server.run();
  t.teardown(() => server.close());
  await behaves(t, { url: 's3://sandlot-test/below/here', keepMs, endpoint: `http://127.0.0.1:${port}`, region: 'us-east-1' }); // prettier-ignore
});

t.test('Azure', async (t) => {
  const [port] = await freePorts();
  const main = join(packageRoot(), 'node_modules/azurite/dist/src/blob/main.js');
  const args = ['--blobHost', '127.0.0.1', '--blobPort', String(port), '--location', join(root, 'azurite'), '--skipApiVersionCheck', '--disableTelemetry']; // prettier-ignore
  const server = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => server.kill());
  let told = '';
  while (!told.includes('successfully listens')) told += String((await once(server.stdout, 'data'))[0]);
  const name = 'devstoreaccount1';
  // Azurite's own account, the same on every machine.
  const key = 'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==';
  const connectionString = `DefaultEndpointsProtocol=http;AccountName=${name};AccountKey=${key};BlobEndpoint=http://127.0.0.1:${port}/${name};`;
  await BlobServiceClient.fromConnectionString(connectionString).createContainer('sandlot-test');
  await behaves(t, { url: 'azure://sandlot-test/below', keepMs, connectionString });
});

t.test('an archive that is away keeps a conversation from being deleted', async (t) => {
  const blocked = join(root, 'blocked');
  writeFileSync(blocked, 'a file where a folder should be');
  const rig = await startRig(cluster, db, {
    config: { archive: { url: pathToFileURL(join(blocked, 'below')).href, keepMs } },
  });
  t.teardown(() => rig.stop());
  const id = await addConversation();
  await rig.server.deps.control.create({ id, owner: 'local', conversationId: id });
  const refused = await rig.call('DELETE', `/api/v1/app-conversations/${id}`);
  t.match(refused, { status: 503, body: { detail: /archive/ }, headers: { 'retry-after': /./ } });
  t.notMatch(refused.text, /blocked/);
  t.equal(await db.prisma.event.count({ where: { conversationId: id } }), EVENTS);
  const there = await cluster.client.get<Sandbox>(SANDBOX, { namespace: cluster.namespace, name: id });
  t.equal(there.metadata.deletionTimestamp, undefined, 'nor is its sandbox touched');
});

t.test('events that come while it is archived are archived too', async (t) => {
  const rig = await startRig(cluster, db, {
    config: { archive: { url: pathToFileURL(join(root, 'late')).href, keepMs } },
  });
  t.teardown(() => rig.stop());
  const { deps } = rig.server;
  const id = await addConversation();
  const sandbox = await deps.control.create({ id, owner: 'local', conversationId: id });
  let late = 0;
  const archive: typeof deps.archive = deps.archive && {
    ...deps.archive,
    async keep(conversation) {
      await deps.archive?.keep(conversation);
      if (late === 3) return;
      late += 1;
      await deps.ingest.events(sandbox, id, [{ id: `late-${late}`, kind: 'MessageEvent', timestamp: '2026-06-01T00:00:00' }]); // prettier-ignore
    },
  };
  const conversation = await db.prisma.conversation.findUniqueOrThrow({ where: { id } });
  await removeConversation({ ...deps, archive }, conversation);
  const kept = await deps.archive?.read('local', id, 10_000);
  t.same(
    kept?.events.slice(EVENTS).map((event) => event.id),
    ['late-1', 'late-2', 'late-3'],
  );
  t.equal(await db.prisma.conversation.count({ where: { id } }), 0);
  t.equal(await db.prisma.event.count({ where: { conversationId: id } }), 0);
});

t.test('the end', async () => {
  await db.close();
  rmSync(root, { recursive: true, force: true });
  await endSuite(cluster);
});
