/**
 * Conversations that were made in a sandbox directly, by its own clients, and whose announcement was lost: this server was
 * down, or the agent gave up. The agent server is asked what it has; it is believed only about its own sandbox.
 */
import { z } from 'zod';
import type { Sandbox } from '../../contracts/resources.js';
import { AgentError, endpointOf, type AgentHttp } from '../agent/http.js';
import type { PrismaClient } from '../db/generated/client.js';
import { hexId } from '../http/validate.js';
import { infoSchema, type Ingest } from './ingest.js';

/** A conversation's state with its tools and skills is some 100 KB. */
const PAGE = 20;
/** What one sandbox may tell of (ingest.ts) has room in these. */
const MAX_PAGES = 10;
const TIMEOUT_MS = 5_000;

const pageSchema = z.object({
  items: z.array(infoSchema.nullable().catch(null)),
  next_page_id: z.string().max(500).nullish(),
});

export interface DiscoverParts {
  prisma: PrismaClient;
  agents: AgentHttp;
  ingest: Ingest;
  secret: string;
}

/** Makes rows of what is not known here yet, and answers their ids. Rejects with AgentError when the agent does not answer. */
export async function discover(parts: DiscoverParts, sandbox: Sandbox, signal: AbortSignal): Promise<string[]> {
  const agent = endpointOf(sandbox, parts.secret);
  if (agent === undefined || sandbox.metadata.deletionTimestamp !== undefined) return [];
  const found: string[] = [];
  let pageId: string | null | undefined;
  for (let pages = 0; pages < MAX_PAGES; pages += 1) {
    const query = new URLSearchParams({ limit: String(PAGE), ...(pageId == null ? {} : { page_id: pageId }) });
    const path = `/api/conversations/search?${query.toString()}`;
    const { data: page } = pageSchema.safeParse(
      await parts.agents.json(agent, { path, timeoutMs: TIMEOUT_MS, signal }),
    );
    if (page === undefined) throw new AgentError('the agent server answers in a form that is not known', 0);
    const infos = page.items.flatMap((info) => {
      const id = info === null ? undefined : hexId(info.id);
      return info === null || id === undefined ? [] : [{ id, info }];
    });
    const rows = await parts.prisma.conversation.findMany({
      where: { id: { in: infos.map(({ id }) => id) } },
      select: { id: true },
    });
    const known = new Set(rows.map(({ id }) => id));
    for (const { id, info } of infos) {
      if (known.has(id)) continue;
      await parts.ingest.conversation(sandbox, info);
      found.push(id);
    }
    pageId = page.next_page_id;
    if (pageId == null) break;
  }
  return found;
}
