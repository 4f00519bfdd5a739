/**
 * Compares what agents have in their logs with what is stored of it: for each conversation whose agent answers, events that
 * are missing here, out of order, or unknown to the agent. Reads only.
 */
import { z } from 'zod';
import { conversationDashed } from '../../contracts/names.js';
import { isReady, SANDBOX, type Sandbox } from '../../contracts/resources.js';
import type { KubeClient } from '../../kube/client.js';
import { AgentError, endpointOf, type AgentEndpoint, type AgentHttp } from '../agent/http.js';
import type { Query } from '../db/open.js';

export interface Comparison {
  id: string;
  /** In the agent's log and not here. */
  missing: number;
  /** Here and not in the agent's log: it lost them, or its workspace is another one. */
  strange: number;
  ordered: boolean;
}

export interface AgentsCompared {
  compared: number;
  /** Their agent does not answer, its log is longer than is read, or their history here is full. */
  skipped: number;
  /** Those that differ. */
  differences: Comparison[];
}

export interface AgentsOptions {
  client: Pick<KubeClient, 'list'>;
  namespace: string;
  secret: string;
  agents: AgentHttp;
  query: Query;
  sleep: (ms: number) => Promise<void>;
}

const PAGE = 100;
/** A million events. */
const MAX_PAGES = 10_000;
const pageSchema = z.object({
  items: z.array(z.looseObject({ id: z.string().max(200) })).max(PAGE),
  next_page_id: z.string().max(500).nullish(),
});

const CONVERSATIONS = 'SELECT id FROM conversations WHERE sandbox_id = $1 ORDER BY id LIMIT 100';
const STORED = 'SELECT id FROM events WHERE conversation_id = $1 ORDER BY "timestamp", seq';
/** What an agent has just written is reported within this time. */
const SETTLE_MS = 10_000;

export async function compareAgents(options: AgentsOptions): Promise<AgentsCompared> {
  const { client, namespace, secret, query } = options;
  const { items } = await client.list<Sandbox>(SANDBOX, { namespace });
  const result: AgentsCompared = { compared: 0, skipped: 0, differences: [] };
  for (const sandbox of items.filter((one) => isReady(one))) {
    const agent = endpointOf(sandbox, secret);
    const rows = await query<{ id: string }>(CONVERSATIONS, [sandbox.metadata.name]);
    for (const { id } of rows) {
      const comparison = agent === undefined ? undefined : await compareOne(options, agent, id);
      if (comparison === undefined) result.skipped += 1;
      else result.compared += 1;
      if (comparison !== undefined && differs(comparison)) result.differences.push(comparison);
    }
  }
  return result;
}

const differs = ({ missing, strange, ordered }: Comparison): boolean => missing > 0 || strange > 0 || !ordered;

async function compareOne(options: AgentsOptions, agent: AgentEndpoint, id: string): Promise<Comparison | undefined> {
  const log = await logOf(options.agents, agent, id).catch((error: unknown) => {
    if (error instanceof AgentError || error instanceof z.ZodError) return undefined;
    throw error;
  });
  if (log === undefined) return undefined;
  const compare = async (): Promise<Comparison | undefined> => {
    const stored = (await options.query<{ id: string }>(STORED, [id])).map((row) => row.id);
    // A full history is not the agent's any more (ingest/quota.ts).
    return stored.includes(`event-limit-${id}`) ? undefined : compareIds(id, log, stored);
  };
  const first = await compare();
  if (first === undefined || !differs(first)) return first;
  await options.sleep(SETTLE_MS);
  return await compare();
}

/** Ids of the agent's log, oldest first; undefined when it is longer than is read. */
async function logOf(agents: AgentHttp, agent: AgentEndpoint, id: string): Promise<string[] | undefined> {
  const ids: string[] = [];
  let next = '';
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const path = `/api/conversations/${conversationDashed(id)}/events/search?limit=${PAGE}&sort_order=TIMESTAMP${next}`;
    const { items, next_page_id } = pageSchema.parse(await agents.json(agent, { path }));
    ids.push(...items.map((event) => event.id));
    if (next_page_id == null) return ids;
    next = `&page_id=${encodeURIComponent(next_page_id)}`;
  }
  return undefined;
}

/** Pure. `stored` may go on after the log's end: the agent went on while it was read. */
export function compareIds(id: string, log: string[], stored: string[]): Comparison {
  const here = new Set(stored);
  const there = new Set(log);
  const common = log.filter((one) => here.has(one));
  const lastKnown = stored.findLastIndex((one) => there.has(one));
  const order = stored.filter((one) => there.has(one));
  return {
    id,
    missing: log.length - common.length,
    strange: stored.slice(0, lastKnown + 1).filter((one) => !there.has(one)).length,
    ordered: common.every((one, at) => one === order[at]),
  };
}
