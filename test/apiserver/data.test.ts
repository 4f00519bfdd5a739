/** `sandlot data` on a real PostgreSQL: new keys for what is sealed, and the database checked against itself and its agents. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { compareAgents, compareIds } from '../../apiserver/data/agents.js';
import { checkDatabase, repairDatabase } from '../../apiserver/data/check.js';
import { resealAll, SEALED } from '../../apiserver/data/reseal.js';
import { createAgentHttp } from '../../apiserver/agent/http.js';
import { createBox, type Box } from '../../apiserver/db/box.js';
import { openDatabase, type Query } from '../../apiserver/db/open.js';
import { ownedBy } from '../../apiserver/db/owned.js';
import { sessionPlace } from '../../apiserver/identity/sessions.js';
import { readProviderTokens, readSecrets, secretPlace, tokenPlace } from '../../apiserver/settings/secrets.js';
import { settingsStore } from '../../apiserver/settings/store.js';
import { startPlace } from '../../apiserver/start/secrets.js';
import { conversationDashed } from '../../contracts/names.js';
import { SANDBOX, type Sandbox } from '../../contracts/resources.js';
import { newId, operatorHand, quiet, SECRET } from '../support/api-rig.js';
import { endSuite, execArgv, extension, startCluster } from '../support/cluster.js';
import { startFakeAgent } from '../support/fake-agent.js';
import { postgresPrograms, startPostgres } from '../support/postgres.js';

const programs = postgresPrograms();
if (programs === undefined) {
  t.comment('no PostgreSQL on this machine: nothing is tested here');
  process.exit(0);
}
t.setTimeout(280_000);
const cluster = await startCluster();
const postgres = await startPostgres(programs);
const OLD = 'the key before, which is long enough too';
const NEW = 'the new key, which is long enough as well';

interface Ran {
  code: number;
  out: string;
}

const cli = fileURLToPath(new URL(`../../local/cli.${extension}`, import.meta.url));
const sandlot = (databaseUrl: string, args: string[], env: NodeJS.ProcessEnv = {}): Promise<Ran> =>
  new Promise((resolve) => {
    const all = {
      ...process.env,
      SANDLOT_SECRET: SECRET,
      SANDLOT_IDENTITY: 'single-user',
      SANDLOT_NAMESPACE: cluster.namespace,
      KUBECONFIG: cluster.kubeconfig,
      DATABASE_URL: databaseUrl,
      ...env,
    };
    const child = execFile(process.execPath, [...execArgv, cli, 'data', ...args], { env: all }, (_error, out, err) =>
      resolve({ code: child.exitCode ?? -1, out: out + err }),
    );
  });

async function fill(query: Query, box: Box, secrets: number): Promise<void> {
  const names = Array.from({ length: secrets }, (_, n) => `S${n}`);
  await query(
    `INSERT INTO secrets (owner_id, name, value) SELECT 'u', n, v FROM unnest($1::text[], $2::text[]) AS g(n, v)`,
    [names, names.map((name, n) => box.seal(`value ${n}`, secretPlace('u', name)))],
  );
  await query('INSERT INTO provider_tokens (owner_id, provider, token) VALUES ($1, $2, $3)', [
    'u',
    'github',
    box.seal('ghp_token', tokenPlace('u', 'github')),
  ]);
  const at = new Date(Date.now() + 3_600_000).toISOString();
  await query(
    'INSERT INTO sessions (id, owner_id, tokens, seen_at, expires_at) VALUES ($1, $2, $3, $4::timestamptz, $4::timestamptz)',
    ['s1', 'u', box.seal('{"refreshToken":"r"}', sessionPlace('s1')), at],
  );
  await query(
    `INSERT INTO start_tasks (id, owner_id, status, conversation_id, request, secrets, updated_at) VALUES ($1, 'u', 'READY', $1, '{}', $2, now())`,
    ['t1', box.seal('{"A":"b"}', startPlace('t1'))],
  );
}

t.test('every sealed column of the schema is known', async (t) => {
  const { readFileSync } = await import('node:fs');
  const { packageRoot } = await import('../../process/root.js');
  const schema = readFileSync(`${packageRoot()}/prisma/schema.prisma`, 'utf8');
  t.equal(schema.match(/encrypted/g)?.length, SEALED.length, 'each is called encrypted there once');
});

t.test('a new key: the command seals everything anew, and the old key may go', async (t) => {
  const url = await postgres.newDatabase();
  const db = await openDatabase({ url, log: quiet() });
  t.teardown(() => db.close());
  const old = createBox([OLD]);
  await fill(db.query, old, 450);
  await settingsStore(ownedBy(db.prisma, 'u'), old, 'u').change((stored) => ({ ...stored, agent: { a: 1 } }) as never);
  const lost = createBox(['a key that nobody has any more at all']).seal('x', secretPlace('v', 'LOST'));
  await db.query(`INSERT INTO secrets (owner_id, name, value) VALUES ('v', 'LOST', $1)`, [lost]);

  const env = { SANDLOT_DATA_KEYS: `${NEW}\n${OLD}` };
  const first = await sandlot(url, ['reseal'], env);
  t.equal(first.code, 1, first.out);
  t.match(first.out, /secrets: 450 sealed anew, 1 left under older keys, 1 of them unreadable/);
  for (const secret of [NEW, OLD, SECRET, 'value 1']) t.notMatch(first.out, secret, 'nothing secret is said');
  await db.query(`DELETE FROM secrets WHERE owner_id = 'v'`);
  const second = await sandlot(url, ['reseal'], env);
  t.equal(second.code, 0, second.out);
  t.match(second.out, /secrets: 0 sealed anew/, 'what is done is not done again');

  const only = createBox([NEW]);
  const owned = ownedBy(db.prisma, 'u');
  t.equal((await readSecrets(owned, only, 'u')).S449?.value, 'value 449');
  t.equal((await readProviderTokens(owned, only, 'u')).github?.token, 'ghp_token');
  t.match(await settingsStore(owned, only, 'u').read(), { agent: { a: 1 } });
  const [task] = await db.query<{ secrets: string }>('SELECT secrets FROM start_tasks');
  t.equal(only.open(task?.secrets ?? '', startPlace('t1')), '{"A":"b"}');
});

t.test('a run that is cut short, and values that are saved meanwhile', async (t) => {
  const db = await openDatabase({ url: await postgres.newDatabase(), log: quiet() });
  t.teardown(() => db.close());
  const old = createBox([OLD]);
  const box = createBox([NEW, OLD]);
  await fill(db.query, old, 300);
  let pages = 0;
  const cut: Query = async (sql, values) => {
    if (sql.includes('FROM secrets') && (pages += 1) === 2) throw new Error('cut');
    return await db.query(sql, values);
  };
  await t.rejects(resealAll(cut, box), /cut/);

  const place = secretPlace('u', 'S5');
  let saved = false;
  const racing: Query = async (sql, values) => {
    const rows = await db.query(sql, values);
    if (!saved && sql.includes('FROM secrets')) {
      saved = true;
      // By an API server that does not know the new key yet.
      const value = old.seal('saved meanwhile', place);
      await db.query(`UPDATE secrets SET value = $1 WHERE owner_id = 'u' AND name = 'S5'`, [value]);
    }
    return rows as never;
  };
  const results = await resealAll(racing, box);
  t.same(
    results.map(({ left }) => left),
    SEALED.map(() => 0),
  );
  const all = await readSecrets(ownedBy(db.prisma, 'u'), createBox([NEW]), 'u');
  t.equal(all.S5?.value, 'saved meanwhile');
  t.equal(Object.keys(all).length, 300);
});

t.test('the database is checked against itself, and mended', async (t) => {
  const url = await postgres.newDatabase();
  const db = await openDatabase({ url, log: quiet() });
  t.teardown(() => db.close());
  const add = (id: string, owner: string, count: number, bytes: number) =>
    db.query(
      `INSERT INTO conversations (id, owner_id, sandbox_id, title, working_dir, event_count, event_bytes) VALUES ($1, $2, $1, 't', '/w', $3, $4)`,
      [id, owner, count, bytes],
    );
  const event = (conversation: string, owner: string, id: string) =>
    db.query(
      `INSERT INTO events (conversation_id, owner_id, id, kind, "timestamp", body) VALUES ($1, $2, $3, 'K', '2026', '{}')`,
      [conversation, owner, id],
    );
  // Enough for several pages.
  await db.query(
    `INSERT INTO conversations (id, owner_id, sandbox_id, title, working_dir) SELECT 'ok-' || n, 'u', 's', 't', '/w' FROM generate_series(1, $1::int) AS n`,
    [450],
  );
  await add('good', 'u', 2, 4);
  await event('good', 'u', 'a');
  await event('good', 'u', 'b');
  await event('good', 'u', 'event-limit-good');
  t.same(await checkDatabase(db.query), { conversations: 451, problems: [], more: false });
  t.equal((await sandlot(url, ['check'])).code, 0);

  await add('miscounted', 'u', 7, 70);
  await event('miscounted', 'u', 'a');
  await add('foreign', 'u', 1, 2);
  await event('foreign', 'v', 'a');
  await event('nothing', 'u', 'a');
  await db.query(
    `INSERT INTO pending_messages (id, owner_id, target, role, content, created_at) VALUES ('m', 'u', 'task-gone', 'user', '{}', now() - interval '2 days')`,
  );
  const share = (id: string, owner: string, conversation: string) =>
    db.query(
      `INSERT INTO shares (id, owner_id, conversation_id, hash, expires_at) VALUES ($1, $2, $3, $1, now() + interval '1 day')`,
      [id, owner, conversation],
    );
  await share('s-good', 'u', 'good');
  await share('s-foreign', 'v', 'good');
  await share('s-nothing', 'u', 'nothing');
  const { problems } = await checkDatabase(db.query);
  t.same(
    problems.map(({ kind, id }) => `${kind} ${id}`),
    [
      'foreign foreign',
      'miscounted miscounted',
      'orphaned events nothing',
      'orphaned message task-gone',
      'foreign share s-foreign',
      'orphaned share s-nothing',
    ],
  );
  const ran = await sandlot(url, ['check', '--repair']);
  t.equal(ran.code, 1, ran.out);
  t.match(ran.out, /6 problems, 2 left/);
  t.same(
    (await checkDatabase(db.query)).problems.map(({ id }) => id),
    ['foreign', 's-foreign'],
    'whose rows they are is left to a person',
  );
  t.same(await db.query('SELECT id FROM shares ORDER BY id'), [{ id: 's-foreign' }, { id: 's-good' }]);
  t.same(await repairDatabase(db.query, []), []);
  t.equal((await sandlot(url, ['nonsense'])).code, 2);
});

t.test('what agents have is compared with what is stored', async (t) => {
  t.same(compareIds('c', ['a', 'b'], ['a', 'b', 'c']), { id: 'c', missing: 0, strange: 0, ordered: true }, 'went on');
  t.same(compareIds('c', ['a', 'b', 'c'], ['b', 'a', 'x', 'c']), { id: 'c', missing: 0, strange: 1, ordered: false });

  const url = await postgres.newDatabase();
  const db = await openDatabase({ url, log: quiet() });
  const agent = await startFakeAgent('');
  const agents = createAgentHttp();
  t.teardown(() => Promise.all([db.close(), agent.close(), agents.close()]));
  const id = newId();
  await cluster.client.create<Sandbox>(SANDBOX, {
    metadata: { name: id, namespace: cluster.namespace },
    spec: { owner: 'local', runState: 'Running' },
  });
  await operatorHand(cluster.client, cluster.namespace).ready(id, agent);
  await db.prisma.conversation.create({
    data: {
      id,
      ownerId: 'local',
      sandboxId: id,
      title: 't',
      workingDir: '/w',
      caughtUpTo: '2026-05-01T09:00:00.000000',
    },
  });
  const options = {
    client: cluster.client,
    namespace: cluster.namespace,
    secret: SECRET,
    agents,
    query: db.query,
    sleep: () => Promise.resolve(),
  };
  const dashed = conversationDashed(id);
  agent.conversations.set(dashed, { id: dashed });
  agent.events.set(
    dashed,
    ['a', 'b'].map((one, n) => ({ id: one, kind: 'K', source: 'agent', timestamp: `2026-05-01T09:00:0${n}` })),
  );
  t.same((await compareAgents(options)).differences, [{ id, missing: 2, strange: 0, ordered: true }]);
  const ran = await sandlot(url, ['check', '--agents', '--repair']);
  t.match(ran.out, new RegExp(`${id}: 2 events missing`));
  t.equal((await db.prisma.conversation.findUniqueOrThrow({ where: { id } })).caughtUpTo, null, 'to be read anew');
});

t.test('the end', async () => {
  await postgres.stop();
  await endSuite(cluster);
});
