/**
 * A conversation as it is archived: gzipped lines of JSON, the first says what it was, each other is an event as it came,
 * oldest first. Made and read as a stream: a history may be a gigabyte.
 */
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { createGunzip, createGzip } from 'node:zlib';
import { z } from 'zod';
import type { Conversation, PrismaClient } from '../db/generated/client.js';
import { isoZ } from '../http/times.js';

/** What `meta.json` of a download says. */
export function metaOf(conversation: Conversation): Record<string, unknown> {
  return {
    id: conversation.id,
    title: conversation.title,
    llm_model: conversation.llmModel,
    selected_repository: conversation.selectedRepository,
    created_at: isoZ(conversation.createdAt),
    updated_at: isoZ(conversation.updatedAt),
    metrics: conversation.metrics,
  };
}

const PAGE = 200;

async function* linesOf(prisma: PrismaClient, conversation: Conversation): AsyncGenerator<string> {
  yield `${JSON.stringify(metaOf(conversation))}\n`;
  let after: { timestamp: string; seq: bigint } | undefined;
  for (;;) {
    const rows = await prisma.event.findMany({
      where: {
        conversationId: conversation.id,
        ...(after === undefined
          ? {}
          : { OR: [{ timestamp: { gt: after.timestamp } }, { timestamp: after.timestamp, seq: { gt: after.seq } }] }),
      },
      orderBy: [{ timestamp: 'asc' }, { seq: 'asc' }],
      select: { timestamp: true, seq: true, body: true },
      take: PAGE,
    });
    // An event is one line: its JSON came from the network and may have been laid out for people.
    for (const { body } of rows) yield `${body.includes('\n') ? JSON.stringify(JSON.parse(body)) : body}\n`;
    after = rows.at(-1);
    if (rows.length < PAGE || after === undefined) return;
  }
}

/** Its errors come on the answered stream; whoever takes it destroys it, which ends the reading of the database. */
export function archiveOf(prisma: PrismaClient, conversation: Conversation): Readable {
  const lines = Readable.from(linesOf(prisma, conversation), { objectMode: false });
  const zipped = createGzip();
  lines.on('error', (error) => zipped.destroy(error));
  zipped.on('close', () => lines.destroy());
  return lines.pipe(zipped);
}

const eventSchema = z.object({ id: z.string().max(1000) });

export interface Trajectory {
  meta: unknown;
  events: { id: string; body: string }[];
}

/** Reads one back, `most` events at most. undefined: it has more. Throws when it is damaged. */
export async function readArchive(archive: Readable, most: number): Promise<Trajectory | undefined> {
  const text = createGunzip();
  archive.on('error', (error) => text.destroy(error));
  const events: Trajectory['events'] = [];
  let meta: unknown;
  try {
    for await (const line of createInterface({ input: archive.pipe(text), crlfDelay: Infinity })) {
      if (meta === undefined) meta = JSON.parse(line);
      else if (events.length === most) return undefined;
      else events.push({ id: eventSchema.parse(JSON.parse(line)).id, body: line });
    }
  } finally {
    archive.destroy();
    text.destroy();
  }
  return { meta, events };
}
