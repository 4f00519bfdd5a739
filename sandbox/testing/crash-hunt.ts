/**
 * Kills the server at random moments under traffic and compares what clients saw acknowledged with what is there after
 * the restart. The command is `bench/soak/crash.ts`. A seed fixes when the server is killed and which conversations are
 * used; what the server was at in that moment stays with the machine.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { caller, lineRunner, listen, says, startChild, type Call } from './server.js';

interface Known {
  /** Ids of events that a socket brought, in the order of their first arrival. */
  events: Set<string>;
  /** Texts whose POST was answered with 200. */
  texts: Set<string>;
}

/** The same numbers in [0, 1) for the same seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface Hunt {
  rounds: number;
  seed: number;
  report: (line: string) => void;
}

/** Rejects at the first loss. */
export async function huntCrashes({ rounds, seed, report }: Hunt): Promise<{ events: number }> {
  const random = randomFrom(seed);
  const dir = mkdtempSync(join(tmpdir(), 'sandlot-hunt-'));
  const known = new Map<string, Known>();
  try {
    for (let round = 0; round < rounds; round++) {
      await oneRound(dir, { round, random }, known);
      report(
        `round ${round + 1}: ${[...known.values()].reduce((sum, { events }) => sum + events.size, 0)} events kept`,
      );
    }
    const last = await startChild(dir);
    await verify(caller(last.url), known);
    last.child.kill('SIGKILL');
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
  return { events: [...known.values()].reduce((sum, { events }) => sum + events.size, 0) };
}

async function oneRound(
  dir: string,
  { round, random }: { round: number; random: () => number },
  known: Map<string, Known>,
): Promise<void> {
  const { child, url } = await startChild(dir);
  const call = caller(url);
  await verify(call, new Map([...known].filter((_, at) => at >= known.size - 3 || random() < 10 / known.size)));
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const traffic = Promise.allSettled(
    Array.from({ length: 3 }, (_, at) => talk({ url, call, random }, `${round}-${at}`, known)),
  );
  const wait = 50 + random() * 1500;
  await new Promise((resolve) => setTimeout(resolve, wait));
  child.kill('SIGKILL');
  await ended;
  await traffic;
}

/** Makes a conversation or goes on with one, and sends messages until the server is gone. */
async function talk(
  { url, call, random }: { url: string; call: Call; random: () => number },
  name: string,
  known: Map<string, Known>,
): Promise<void> {
  const old = [...known.keys()];
  const use = old.length > 2 && random() < 0.5 ? old[Math.floor(random() * old.length)] : undefined;
  const id = use ?? ((await call('POST', '/api/conversations', lineRunner())).body as { id: string }).id;
  const mine = known.get(id) ?? { events: new Set<string>(), texts: new Set<string>() };
  known.set(id, mine);
  const { socket } = await listen(url, `/sockets/events/${id}`);
  socket.on('error', () => undefined);
  socket.on('message', (data) => {
    const event = JSON.parse(String(data as Buffer)) as { id: string; kind: string; key?: string };
    if (event.key !== 'full_state' && event.kind !== 'StreamingDeltaEvent') mine.events.add(event.id);
  });
  for (let n = 0; ; n++) {
    const text = `echo ${name}-${n}`;
    const { status } = await call('POST', `/api/conversations/${id}/events`, says(text));
    if (status === 200) mine.texts.add(text);
  }
}

async function verify(call: Call, known: Map<string, Known>): Promise<void> {
  for (const [id, { events, texts }] of known) {
    const there: string[] = [];
    const said = new Set<string>();
    let page = '';
    do {
      const query = `limit=100${page === '' ? '' : `&page_id=${page}`}`;
      const answer = await call('GET', `/api/conversations/${id}/events/search?${query}`);
      if (answer.status !== 200) throw new Error(`conversation ${id} is gone: ${answer.status}`);
      const { items, next_page_id: next } = answer.body as {
        items: { id: string; llm_message?: { content: { text?: string }[] } }[];
        next_page_id: string | null;
      };
      for (const item of items) {
        there.push(item.id);
        for (const part of item.llm_message?.content ?? []) said.add(part.text ?? '');
      }
      page = next ?? '';
    } while (page !== '');
    const stored = new Set(there);
    if (stored.size < there.length) throw new Error(`conversation ${id} has events twice`);
    const lost = [...events].filter((event) => !stored.has(event)).length;
    const kept = there.filter((event) => events.has(event));
    const came = [...events];
    if (lost === 0 && kept.some((event, at) => event !== came[at]))
      throw new Error(`conversation ${id} has its events in another order than they came`);
    const unsaid = [...texts].filter((text) => !said.has(text));
    if (lost + unsaid.length > 0)
      throw new Error(`conversation ${id} lost ${lost} events and the messages ${unsaid.join('; ')}`);
    const status = ((await call('GET', `/api/conversations/${id}`)).body as { execution_status: string })
      .execution_status;
    if (status === 'running') throw new Error(`conversation ${id} says that it runs after a restart`);
  }
}
