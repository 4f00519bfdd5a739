/** What only scale shows, of our server alone: many conversations at work, and one with a long history. */
import { randomUUID } from 'node:crypto';
import { createWriteStream, mkdirSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { once } from 'node:events';
import { join } from 'node:path';
import type { ScriptedModel } from '../../sandbox/agent/testing/model.js';
import { encodeLine } from '../../sandbox/log/line.js';
import { start, type Running } from './servers.js';
import { call, create, eventsPerSecond, follow } from './work.js';

const CONVERSATIONS = 20;
const EVENTS = 100_000;
const SEARCHES = 500;

/** Twenty runs of an instant model at once. */
export async function twenty(server: Running, model: ScriptedModel): Promise<string[]> {
  const turn = { calls: [{ tool: 'think', args: { thought: 'on' } }] };
  const begin = performance.now();
  await Promise.all(Array.from({ length: CONVERSATIONS }, () => eventsPerSecond(server, model, { calls: 50, turn })));
  const seconds = (performance.now() - begin) / 1000;
  const rate = ((CONVERSATIONS * 100) / seconds).toFixed(0);
  return [`${CONVERSATIONS} conversations at once: ${rate} events/s in all, ${server.rss().toFixed(0)} MB`];
}

/** A conversation of a server that ran before, made long by hand: its folder, with `EVENTS` more messages. */
export async function writeHistory(model: ScriptedModel, dir: string): Promise<string> {
  const before = await start('sandlot', undefined);
  try {
    const id = await create(before, model);
    const name = id.replaceAll('-', '');
    const folder = join(dir, 'conversations', name);
    mkdirSync(join(dir, 'conversations'), { recursive: true });
    await cp(join(before.dir, 'conversations', name), folder, { recursive: true });
    await fill(join(folder, 'events.log'));
    return id;
  } finally {
    await before.stop();
  }
}

async function fill(path: string): Promise<void> {
  const file = createWriteStream(path, { flags: 'a' });
  let parent: string | undefined;
  for (let n = 0; n < EVENTS; n += 1) {
    const event = {
      id: randomUUID(),
      timestamp: new Date(Date.UTC(2026, 0, 1) + n).toISOString().replace('Z', '000'),
      source: 'user',
      ...(parent === undefined ? {} : { parent_id: parent }),
      llm_message: {
        role: 'user',
        content: [{ cache_prompt: false, type: 'text', text: `message ${n} ${'x'.repeat(400)}` }],
        thinking_blocks: [],
      },
      activated_skills: [],
      extended_content: [],
      kind: 'MessageEvent',
    };
    parent = event.id;
    if (!file.write(encodeLine('E', JSON.stringify(event)))) await once(file, 'drain');
  }
  file.end();
  await once(file, 'close');
}

/** Pages from all over the history, then all of it by a socket. */
export async function readHistory(server: Running, id: string): Promise<string[]> {
  const times: number[] = [];
  let page = '';
  for (let n = 0; n < SEARCHES; n += 1) {
    const begin = performance.now();
    const found = await call<{ next_page_id: string | null }>(
      server,
      'GET',
      `/api/conversations/${id}/events/search?limit=100${page}`,
    );
    times.push(performance.now() - begin);
    page = found.next_page_id === null ? '' : `&page_id=${found.next_page_id}`;
  }
  times.sort((a, b) => a - b);
  const { frames, ms } = await follow(server, id, { query: 'resend_mode=all', until: (_, count) => count > EVENTS });
  return [
    `${EVENTS} events: start → ready ${server.readyMs.toFixed(0)} ms; a page of 100: p50 ${times[SEARCHES / 2]?.toFixed(1)} ms, p99 ${times[Math.floor(SEARCHES * 0.99)]?.toFixed(1)} ms`,
    `resend of all by socket: ${(frames / (ms / 1000)).toFixed(0)} events/s; ${server.rss().toFixed(0)} MB after it`,
  ];
}
