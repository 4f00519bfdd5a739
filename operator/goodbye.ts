/**
 * What an agent server is told before its pod is ended by a pause or a timer: stop what runs, then send what you have. A
 * pod that is hostile or dead holds nothing up: silence ends the farewell at once, and all of it has one deadline.
 */
import { z } from 'zod';

export interface Answer {
  status: number;
  body: unknown;
}
/** One exchange with the agent server; rejects when it does not answer in time. */
export type Call = (path: string, options: { post?: boolean; timeoutMs: number; limit?: number }) => Promise<Answer>;

/** `running`: it was asked, and something still runs. */
export type Farewell = 'stopped' | 'running' | 'silent';

const CALL_MS = 2_000;
const FLUSH_MS = 4_000;
/** Waits before the looks whether it has stopped, ms: three and no more. */
const LOOKS_MS = [250, 1_000, 2_000];
/** A sandbox has one conversation, mostly. Whatever runs beyond this hears of the end by SIGTERM. */
const MOST = 20;
/** Each conversation comes with the whole of its agent's settings. */
const SEARCH_LIMIT = 4 * 1024 * 1024;

/** Ids go into paths, and come from the sandbox. */
const searchSchema = z.object({ items: z.array(z.object({ id: z.guid() })).max(MOST) });

/** Rejects only when `sleep` does. */
export async function sayGoodbye(call: Call, sleep: (ms: number) => Promise<void>): Promise<Farewell> {
  const running = await call(`/api/conversations/search?status=running&limit=${MOST}`, {
    timeoutMs: CALL_MS,
    limit: SEARCH_LIMIT,
  }).then(
    ({ status, body }) => (status === 200 ? searchSchema.safeParse(body).data?.items : undefined),
    () => undefined,
  );
  if (running === undefined) return 'silent';
  const stop = ({ id }: { id: string }) => call(`/api/conversations/${id}/pause`, { post: true, timeoutMs: CALL_MS });
  await Promise.allSettled(running.map(stop));
  const stopped = running.length === 0 || (await hasStopped(call, sleep));
  // Older agent servers do not know it; they send what they have at SIGTERM.
  const flush = call('/api/conversations/prepare-for-sandbox-pause', { post: true, timeoutMs: FLUSH_MS });
  await flush.catch(() => undefined);
  return stopped ? 'stopped' : 'running';
}

async function hasStopped(call: Call, sleep: (ms: number) => Promise<void>): Promise<boolean> {
  for (const ms of LOOKS_MS) {
    await sleep(ms);
    const left = await call('/api/conversations/count?status=running', { timeoutMs: CALL_MS }).catch(() => undefined);
    if (left === undefined || left.status !== 200) return false;
    if (left.body === 0) return true;
  }
  return false;
}
