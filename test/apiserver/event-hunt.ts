/**
 * Hunts for lost events: real agent servers report to real API servers on a real PostgreSQL, users write messages, and
 * whatever comes next in a row of random numbers is killed with SIGKILL (PostgreSQL: `pg_ctl -m immediate`) and started
 * again. Then what the agents have in their logs is compared with what the API servers have stored.
 *
 *     npm run build && node dist/test/apiserver/event-hunt.js [rounds] [seed]
 */
import { randomUUID } from 'node:crypto';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openDatabase } from '../../apiserver/db/open.js';
import { conversationDashed } from '../../contracts/names.js';
import { SANDBOX, type Sandbox } from '../../contracts/resources.js';
import { caller, lineRunner, says, startChild, type Call } from '../../sandbox/testing/server.js';
import { newId, operatorHand, quiet } from '../support/api-rig.js';
import { startApi, type ApiProcess } from '../support/api-process.js';
import { ask } from '../support/client.js';
import { startCluster } from '../support/cluster.js';
import { startPostgres, type Postgres } from '../support/postgres.js';
import { freePorts } from '../support/stack.js';
import { compare, type AgentEvent, type Findings, type StoredEvent } from './event-check.js';

export interface HuntOptions {
  /** Folder of PostgreSQL's programs. */
  programs: string;
  rounds: number;
  seed: number;
  report: (line: string) => void;
}

/** One sandbox: an agent server that reports to the API server of the same number, and its conversation. */
interface Place {
  id: string;
  sandbox: string;
  key: string;
  /** Where it reports to. */
  apiBase: string;
  dir: string;
  port: number;
  child: ChildProcess | undefined;
  call: Call;
}

type Cluster = Awaited<ReturnType<typeof startCluster>>;

const PLACES = 2;
const SETTLE_MS = 90_000;

/** Numbers between 0 and 1 that the seed alone decides (mulberry32). */
export function numbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export async function huntEvents(options: HuntOptions): Promise<Findings[]> {
  const undo: (() => Promise<unknown>)[] = [];
  try {
    return await hunt(options, (step) => undo.push(step));
  } finally {
    for (const step of undo.reverse()) await step().catch(() => undefined);
  }
}

async function hunt(
  { programs, rounds, seed, report }: HuntOptions,
  atEnd: (step: () => Promise<unknown>) => void,
): Promise<Findings[]> {
  const random = numbers(seed);
  const cluster = await startCluster();
  atEnd(() => cluster.stop());
  const postgres = await startPostgres(programs);
  atEnd(() => postgres.stop());
  const databaseUrl = await postgres.newDatabase();
  const folder = mkdtempSync(join(tmpdir(), 'sandlot-event-hunt-'));
  atEnd(async () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  const ports = await freePorts();
  const start = (n: number) =>
    startApi({ cluster, databaseUrl, port: ports[n] ?? 0, env: { LOG_LEVEL: process.env.TEST_LOG ?? 'warn' } });
  const apis = await Promise.all(Array.from({ length: PLACES }, (_, n) => start(n)));
  atEnd(() => Promise.all(apis.map((api) => api.kill())));
  const places: Place[] = [];
  for (const [n, api] of apis.entries()) places.push(await makePlace(cluster, databaseUrl, join(folder, `${n}`), api));
  atEnd(async () => places.forEach((place) => place.child?.kill('SIGKILL')));

  const traffic = places.map((place, n) => converse(place, () => apis[n]!));
  for (let round = 1; round <= rounds; round += 1) {
    await sleep(300 + random() * 1200);
    const victim = Math.floor(random() * 5);
    const pause = random() * 1000;
    report(`round ${round}: ${['API server 0', 'API server 1', 'agent 0', 'agent 1', 'database'][victim]}`);
    if (victim === 4) await killDatabase(postgres, pause);
    else if (victim >= 2) await killAgent(cluster, places[victim - 2]!, pause);
    else {
      await apis[victim]!.kill();
      await sleep(pause);
      apis[victim] = await start(victim);
    }
  }
  const said = await Promise.all(traffic.map((one) => one.stop()));
  report('all is up; waiting for the end of what is under way');
  return await Promise.all(places.map((place, n) => settle(place, databaseUrl, said[n]!)));
}

async function makePlace(cluster: Cluster, databaseUrl: string, dir: string, api: ApiProcess): Promise<Place> {
  const id = newId();
  const sandbox = id;
  const [port] = await freePorts();
  await cluster.client.create<Sandbox>(SANDBOX, {
    metadata: { name: sandbox, namespace: cluster.namespace },
    spec: { owner: 'local', runState: 'Running' },
  });
  const key = await operatorHand(cluster.client, cluster.namespace).ready(sandbox, { port });
  const db = await openDatabase({ url: databaseUrl, log: quiet() });
  // What a start does before it tells the agent.
  const workingDir = '/workspace/project/test';
  await db.prisma.conversation.create({
    data: { id, ownerId: 'local', sandboxId: sandbox, title: 'hunted', workingDir },
  });
  await db.close();
  const place: Place = {
    id,
    sandbox,
    key,
    apiBase: api.base,
    dir,
    port,
    child: undefined,
    call: caller(`http://127.0.0.1:${port}`, key),
  };
  await startAgent(place);
  const made = await place.call('POST', '/api/conversations', lineRunner({ conversation_id: conversationDashed(id) }));
  if (made.status > 201) throw new Error(`the agent made no conversation: ${made.status}`);
  return place;
}

async function startAgent(place: Place): Promise<void> {
  const { child } = await startChild(place.dir, {
    PORT: String(place.port),
    OH_SESSION_API_KEYS_0: place.key,
    OH_LEASE_TTL_SECONDS: '1',
    OH_WEBHOOKS_0_BASE_URL: `${place.apiBase}/api/v1/webhooks`,
    OH_WEBHOOKS_0_FLUSH_DELAY: '1',
    OH_WEBHOOKS_0_EVENT_BUFFER_SIZE: '20',
  });
  place.child = child;
}

async function killDatabase(postgres: Postgres, pause: number): Promise<void> {
  await postgres.kill();
  await sleep(pause);
  await postgres.start();
}

/** As the operator would have it: not ready while the agent is down, ready when it answers. */
async function killAgent(cluster: Cluster, place: Place, pause: number): Promise<void> {
  const hand = operatorHand(cluster.client, cluster.namespace);
  const ended = new Promise((resolve) => place.child?.once('exit', resolve));
  place.child?.kill('SIGKILL');
  await ended;
  const at = new Date().toISOString().replace(/\.\d+Z/, 'Z');
  const down = {
    type: 'Ready',
    status: 'False' as const,
    reason: 'AgentDown',
    message: 'gone',
    lastTransitionTime: at,
  };
  await hand.status(place.sandbox, { conditions: [down] });
  await sleep(pause);
  await startAgent(place);
  await hand.ready(place.sandbox, { port: place.port });
}

/** Users who write, straight to the agent and by waiting messages; remembers what was acknowledged. */
function converse(place: Place, api: () => ApiProcess) {
  const sent: string[] = [];
  let going = true;
  const repeat = async (write: (n: number) => Promise<string | undefined>): Promise<void> => {
    for (let n = 0; going; n += 1) {
      const text = await write(n).catch(() => undefined);
      if (text === undefined) await sleep(100);
      else sent.push(text);
    }
  };
  const tell = async (n: number) => {
    await sleep(200);
    const text = `echo direct-${n}-${randomUUID()}`;
    const { status } = await place.call('POST', `/api/conversations/${place.id}/events`, says(text));
    return status === 200 ? text : undefined;
  };
  const queue = async (n: number) => {
    await sleep(300);
    const text = `echo queued-${n}-${randomUUID()}`;
    const path = `/api/v1/conversations/${place.id}/pending-messages`;
    const { status } = await ask(`${api().base}${path}`, { method: 'POST', body: says(text) });
    return status === 201 ? text : undefined;
  };
  const all = Promise.all([repeat(tell), repeat(queue)]);
  return {
    async stop(): Promise<string[]> {
      going = false;
      await all;
      return sent;
    },
  };
}

/** Waits until nothing moves any more, then compares. */
async function settle(place: Place, databaseUrl: string, acknowledged: string[]): Promise<Findings> {
  const db = await openDatabase({ url: databaseUrl, log: quiet() });
  try {
    const look = async (): Promise<Findings> => {
      const stored = await db.query<StoredEvent>(
        'SELECT id, body FROM events WHERE conversation_id = $1 ORDER BY "timestamp", seq',
        [place.id],
      );
      const row = await db.prisma.conversation.findUniqueOrThrow({ where: { id: place.id } });
      const counted = { count: row.eventCount, bytes: Number(row.eventBytes) };
      const waiting = await db.prisma.pendingMessage.count({ where: { target: place.id } });
      return compare({ produced: await logOf(place), stored, counted, acknowledged, waiting });
    };
    let last = await look();
    const end = Date.now() + SETTLE_MS;
    while (last.problems.length > 0 && Date.now() < end) {
      await sleep(1000);
      last = await look();
    }
    return last;
  } finally {
    await db.close();
  }
}

async function logOf(place: Place): Promise<AgentEvent[]> {
  const events: AgentEvent[] = [];
  let page: string | null = '';
  while (page !== null) {
    const from: string = page === '' ? '' : `&page_id=${page}`;
    const answer = await place.call('GET', `/api/conversations/${place.id}/events/search?limit=100${from}`);
    const body = answer.body as { items: AgentEvent[]; next_page_id: string | null };
    events.push(...body.items);
    page = body.next_page_id;
  }
  return events;
}

if (process.argv[1]?.includes('event-hunt.js') === true) {
  const { postgresPrograms } = await import('../support/postgres.js');
  const [rounds = 100, seed = Date.now() % 1e6] = process.argv.slice(2).map(Number);
  const programs = postgresPrograms();
  if (programs === undefined) throw new Error('this machine has no PostgreSQL');
  console.log(`seed ${seed}`);
  const all = await huntEvents({ programs, rounds, seed, report: (line) => console.log(line) });
  for (const { events, messages, problems } of all)
    console.log(
      `${events} events, ${messages} acknowledged messages: ${problems.join('; ') || 'nothing lost, nothing twice, order kept'}`,
    );
  process.exit(all.some(({ problems }) => problems.length > 0) ? 1 : 0);
}
