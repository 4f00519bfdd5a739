/**
 * Events per second that come in by webhook and are stored, beside the same rows as plain multi-row inserts by the same
 * number of clients into a table of the same shape, in turns.
 */
import pg from 'pg';
import { Agent, request } from 'undici';
import { makeConversation, at, say, startBenchRig, type BenchRig } from './rig.js';

const CLIENTS = 8;
const BATCHES_EACH = 40;
const EVENT_BYTES = 1_000;

interface Event {
  id: string;
  kind: string;
  source: string;
  timestamp: string;
  text: string;
}

export async function benchIngest(rounds: number): Promise<void> {
  const rig = await startBenchRig();
  const pool = new pg.Pool({ connectionString: rig.databaseUrl, max: CLIENTS });
  try {
    await pool.query('CREATE TABLE plain (LIKE events INCLUDING ALL)');
    const conversations = await Promise.all(Array.from({ length: CLIENTS }, () => makeConversation(rig)));
    for (const size of [20, 100, 500]) {
      const rates: Record<'api' | 'plain', number[]> = { api: [], plain: [] };
      for (let round = 0; round <= rounds; round += 1) {
        const api = await measure(size, (client, batch) => report(rig, conversations[client]!, batch));
        const plain = await measure(size, (client, batch) => insert(pool, conversations[client]!.id, batch));
        // The first round warms both up.
        if (round === 0) continue;
        rates.api.push(api);
        rates.plain.push(plain);
      }
      say(`ingest by webhook, ${size} events a report`, at(rates.api, 0.5), 'events/s');
      say(`plain inserts, ${size} rows a statement`, at(rates.plain, 0.5), 'rows/s');
      say('  compared', at(rates.api, 0.5) / at(rates.plain, 0.5), 'of plain', { least: 0.5 });
    }
  } finally {
    await pool.end();
    await rig.stop();
  }
}

let made = 0;
function batchOf(size: number): Event[] {
  return Array.from({ length: size }, () => {
    made += 1;
    const micros = String(made % 1_000_000).padStart(6, '0');
    const second = String(Math.floor(made / 1_000_000) % 60).padStart(2, '0');
    return {
      id: `event-${made}`,
      kind: 'ObservationEvent',
      source: 'environment',
      timestamp: `2026-05-01T09:00:${second}.${micros}`,
      text: 'x'.repeat(EVENT_BYTES),
    };
  });
}

/** Events per second of all clients together. */
async function measure(size: number, store: (client: number, batch: Event[]) => Promise<void>): Promise<number> {
  const work = Array.from({ length: CLIENTS }, () => Array.from({ length: BATCHES_EACH }, () => batchOf(size)));
  const begin = performance.now();
  await Promise.all(
    work.map(async (batches, client) => {
      for (const batch of batches) await store(client, batch);
    }),
  );
  return (CLIENTS * BATCHES_EACH * size) / ((performance.now() - begin) / 1000);
}

const agent = new Agent({ connections: CLIENTS });

async function report({ api }: BenchRig, { id, key }: { id: string; key: string }, batch: Event[]): Promise<void> {
  const { statusCode, body } = await request(`${api.base}/api/v1/webhooks/events/${id}`, {
    dispatcher: agent,
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-session-api-key': key },
    body: JSON.stringify(batch),
  });
  const text = await body.text();
  if (statusCode !== 200) throw new Error(`the report was answered with ${statusCode} ${text}`);
}

async function insert(pool: pg.Pool, conversationId: string, batch: Event[]): Promise<void> {
  const columns = 6;
  const places = batch.map(
    (_, row) => `(${Array.from({ length: columns }, (_, column) => `$${row * columns + column + 1}`).join(',')})`,
  );
  await pool.query(
    `INSERT INTO plain (conversation_id, owner_id, id, kind, "timestamp", body) VALUES ${places.join(',')}`,
    batch.flatMap((event) => [conversationId, 'local', event.id, event.kind, event.timestamp, JSON.stringify(event)]),
  );
}
