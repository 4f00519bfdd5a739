/**
 * Takes in what agent servers report: events (once each, whatever is repeated or out of order) and the state of their
 * conversations. Everything here comes out of a sandbox and is believed only about that sandbox's own conversations.
 */
import { z } from 'zod';
import { EXECUTION_STATUSES } from '../../contracts/agent/events.js';
import { Prisma, type Conversation, type PrismaClient } from '../db/generated/client.js';
import { conversationHex } from '../../contracts/names.js';
import type { Sandbox } from '../../contracts/resources.js';
import type { Clock } from '../../kube/types.js';
import { eventTime } from '../http/times.js';
import { defaultTitle } from '../start/title.js';
import { metricsOf } from './metrics.js';

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
  /** The row, when it is one of this sandbox's. */
  find(sandbox: Sandbox, conversationId: string): Promise<Conversation | undefined>;
}

/** Conversations that one sandbox may tell of: what runs in it must not fill its user's list without end. */
const MAX_CONVERSATIONS = 100;
/** Rows of one INSERT; keeps the statement's parameters far below PostgreSQL's 65535. */
const CHUNK = 500;

export function createIngest({ prisma, clock }: { prisma: PrismaClient; clock: Clock }): Ingest {
  const find = async (sandbox: Sandbox, id: string): Promise<Conversation | undefined> => {
    const row = await prisma.conversation.findUnique({ where: { id } });
    return row !== null && row.sandboxId === sandbox.metadata.name && row.ownerId === sandbox.spec.owner
      ? row
      : undefined;
  };
  const now = () => new Date(clock.now());
  return {
    find,
    async events(sandbox, conversationId, events) {
      const conversation = await find(sandbox, conversationId);
      if (conversation === undefined) return undefined;
      const rows = events.map((event) => rowOf(conversation, event));
      let stored = 0;
      for (let start = 0; start < rows.length; start += CHUNK) {
        const { count } = await prisma.event.createMany({
          data: rows.slice(start, start + CHUNK),
          skipDuplicates: true,
        });
        stored += count;
      }
      if (stored > 0)
        await prisma.conversation.updateMany({
          where: { id: conversationId },
          data: { ...stateIn(conversation, events), updatedAt: now() },
        });
      return stored;
    },
    async conversation(sandbox, info) {
      const id = conversationHex(info.id);
      if (info.execution_status === 'deleting') return;
      const conversation = await find(sandbox, id);
      const change = changeOf(conversation ?? { id, title: defaultTitle(id) }, info);
      if (conversation !== undefined)
        await prisma.conversation.updateMany({ where: { id }, data: { ...change, updatedAt: now() } });
      else if ((await prisma.conversation.count({ where: { sandboxId: sandbox.metadata.name } })) < MAX_CONVERSATIONS)
        await prisma.conversation.createMany({ skipDuplicates: true, data: [foundRow(sandbox, id, info, change)] });
    },
  };
}

function rowOf(conversation: Conversation, event: IncomingEvent): Prisma.EventCreateManyInput {
  return {
    conversationId: conversation.id,
    ownerId: conversation.ownerId,
    id: event.id,
    kind: event.kind,
    timestamp: eventTime(event.timestamp) ?? '',
    body: JSON.stringify(event),
  };
}

const stateSchema = z.looseObject({
  execution_status: z.unknown().optional(),
  stats: z.unknown().optional(),
  title: z.unknown().optional(),
});

/** What the state updates among the events say; the later one wins. */
function stateIn(conversation: Conversation, events: IncomingEvent[]): Prisma.ConversationUpdateManyMutationInput {
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
  const parsed = infoSchema.safeParse({ id: conversation.id, ...state });
  return parsed.success ? changeOf(conversation, parsed.data) : {};
}

/** A title of the agent's making replaces the first one, never one that a user chose. */
function changeOf(
  conversation: { id: string; title: string },
  info: ConversationInfo,
): { executionStatus?: string; title?: string; metrics?: Prisma.InputJsonValue } {
  const metrics = metricsOf(info.stats);
  return {
    ...(info.execution_status == null ? {} : { executionStatus: info.execution_status }),
    ...(info.title == null || info.title === '' || conversation.title !== defaultTitle(conversation.id)
      ? {}
      : { title: info.title.slice(0, 200) }),
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
