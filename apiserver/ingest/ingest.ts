/**
 * Takes in what agent servers report: events (once each, whatever is repeated or out of order) and the state of their
 * conversations. Everything here comes out of a sandbox and is believed only about that sandbox's own conversations.
 */
import { z } from 'zod';
import { EXECUTION_STATUSES } from '../../contracts/agent/events.js';
import type { Prisma, PrismaClient } from '../db/generated/client.js';
import type { Query } from '../db/open.js';
import { conversationHex } from '../../contracts/names.js';
import type { Sandbox } from '../../contracts/resources.js';
import type { Clock } from '../../kube/types.js';
import { eventTime } from '../http/times.js';
import { defaultTitle } from '../start/title.js';
import { metricsOf } from './metrics.js';
import { tellFull, type Quota } from './quota.js';
import { storeEvents, type EventRow, type StateChange } from './store.js';

/** What becomes a column of its own: PostgreSQL's text cannot hold a null character. */
const column = (max: number) =>
  z
    .string()
    .max(max)
    .refine((value) => !value.includes('\0'), 'Null characters are not allowed');

/** The fields that every event has; the rest is kept as it came. */
export const eventSchema = z.looseObject({
  id: column(200).min(1),
  kind: column(200).min(1),
  timestamp: z
    .string()
    .max(64)
    .refine((value) => eventTime(value) !== undefined, 'Input should be a valid datetime'),
});
export type IncomingEvent = z.infer<typeof eventSchema>;

/** ConversationInfo as far as it is read. */
export const infoSchema = z.looseObject({
  id: z.string().max(64),
  execution_status: z.enum(EXECUTION_STATUSES).nullish().catch(null),
  title: column(1000).nullish().catch(null),
  stats: z.unknown().optional(),
  workspace: z
    .object({ working_dir: column(4000) })
    .nullish()
    .catch(null),
});
export type ConversationInfo = z.infer<typeof infoSchema>;

export interface Ingest {
  /** Stores events of a conversation of this sandbox; answers how many were new, or undefined when it has no such conversation. */
  events(sandbox: Sandbox, conversationId: string, events: IncomingEvent[]): Promise<number | undefined>;
  /** Takes over title, status and metrics; makes the row of a conversation that was started in the sandbox directly. */
  conversation(sandbox: Sandbox, info: ConversationInfo): Promise<void>;
}

/** Conversations that one sandbox may tell of: what runs in it must not fill its user's list without end. */
const MAX_CONVERSATIONS = 100;
/** Rows of one statement: some megabytes, and a lock that is short. */
const CHUNK = 500;

export interface IngestOptions {
  prisma: PrismaClient;
  query: Query;
  clock: Clock;
  quota: Quota;
}

export function createIngest({ prisma, query, clock, quota }: IngestOptions): Ingest {
  const now = () => new Date(clock.now());
  return {
    async events(sandbox, id, events) {
      const place = { conversationId: id, sandboxId: sandbox.metadata.name, ownerId: sandbox.spec.owner ?? '' };
      const rows = events.map(rowOf);
      const state = stateIn(id, events);
      const room = await quota.roomOf(place.ownerId);
      let count = 0;
      // At least once: an empty report tells whether there is such a conversation too.
      for (let start = 0; start === 0 || start < rows.length; start += CHUNK) {
        const batch = rows.slice(start, start + CHUNK);
        const stored = await storeEvents(query, place, { rows: batch, state, room, now: now() });
        if (stored === undefined) return undefined;
        if (!stored.room && rows.length > 0)
          return await tellFull(query, place, { room, now: now() }).then(() => count);
        count += stored.count;
      }
      return count;
    },
    async conversation(sandbox, info) {
      const id = conversationHex(info.id);
      if (info.execution_status === 'deleting') return;
      const where = { id, sandboxId: sandbox.metadata.name, ownerId: sandbox.spec.owner ?? '' };
      const row = await prisma.conversation.findFirst({ where, select: { title: true } });
      const change = changeOf(row ?? { title: defaultTitle(id) }, id, info);
      if (row !== null) await prisma.conversation.updateMany({ where, data: { ...change, updatedAt: now() } });
      else if ((await prisma.conversation.count({ where: { sandboxId: sandbox.metadata.name } })) < MAX_CONVERSATIONS)
        await prisma.conversation.createMany({ skipDuplicates: true, data: [foundRow(sandbox, id, info, change)] });
    },
  };
}

function rowOf(event: IncomingEvent): EventRow {
  const { id, kind } = event;
  return { id, kind, timestamp: eventTime(event.timestamp) ?? '', body: JSON.stringify(event) };
}

const stateSchema = z.looseObject({
  execution_status: z.unknown().optional(),
  stats: z.unknown().optional(),
  title: z.unknown().optional(),
});

/** What the state updates among the events say; the later one wins. */
function stateIn(id: string, events: IncomingEvent[]): StateChange {
  const updates = events
    .filter((event) => event.kind === 'ConversationStateUpdateEvent')
    .sort((a, b) => (a.timestamp < b.timestamp ? -1 : 1));
  const state: Record<string, unknown> = {};
  for (const { key, value } of updates) {
    const whole = key === 'full_state' ? stateSchema.safeParse(value) : undefined;
    if (whole?.success === true)
      Object.assign(state, Object.fromEntries(Object.entries(whole.data).filter(([, one]) => one != null)));
    else if (typeof key === 'string') state[key] = value;
  }
  const { data: info } = infoSchema.safeParse({ id, ...state });
  const metrics = metricsOf(info?.stats);
  return {
    executionStatus: info?.execution_status ?? null,
    title: titleOf(info),
    defaultTitle: defaultTitle(id),
    metrics: metrics === undefined ? null : JSON.stringify(metrics),
  };
}

const titleOf = (info: ConversationInfo | undefined): string | null =>
  info?.title == null || info.title === '' ? null : info.title.slice(0, 200);

/** A title of the agent's making replaces the first one, never one that a user chose. */
function changeOf(
  conversation: { title: string },
  id: string,
  info: ConversationInfo,
): { executionStatus?: string; title?: string; metrics?: Prisma.InputJsonValue } {
  const metrics = metricsOf(info.stats);
  const title = titleOf(info);
  return {
    ...(info.execution_status == null ? {} : { executionStatus: info.execution_status }),
    ...(title === null || conversation.title !== defaultTitle(id) ? {} : { title }),
    ...(metrics === undefined ? {} : { metrics: metrics as unknown as Prisma.InputJsonValue }),
  };
}

function foundRow(
  sandbox: Sandbox,
  id: string,
  info: ConversationInfo,
  change: ReturnType<typeof changeOf>,
): Prisma.ConversationCreateManyInput {
  const workingDir = info.workspace?.working_dir ?? '/workspace/project';
  return {
    id,
    ownerId: sandbox.spec.owner ?? '',
    sandboxId: sandbox.metadata.name,
    title: defaultTitle(id),
    workingDir,
    tags: { archiveworkspacepath: workingDir },
    ...change,
  };
}
