/**
 * Stores events of one conversation in one statement: events, what is counted of them and the state that they tell are
 * there together or not at all. The row of the conversation is locked first, so that batches of a conversation follow each
 * other (arrival order is the order of `seq`) and no event outlives the deletion of its conversation.
 * Plain SQL: by the ORM a batch costs several round trips and many times the CPU.
 */
import type { Query } from '../db/open.js';

export interface EventRow {
  id: string;
  kind: string;
  timestamp: string;
  body: string;
}

/** Where events belong; a conversation of another sandbox or owner is not found. */
export interface Place {
  conversationId: string;
  sandboxId: string;
  ownerId: string;
}

/** What events say about their conversation; null leaves a column as it is. */
export interface StateChange {
  executionStatus: string | null;
  /** Replaces `defaultTitle`, never a title that a user chose. */
  title: string | null;
  defaultTitle: string;
  metrics: string | null;
}

export interface Stored {
  /** How many were new. */
  count: number;
  /** False when the conversation holds as much as it may: nothing was stored. */
  room: boolean;
}

// UPDATE … FROM takes the sums as they are when the row was changed meanwhile and is read again; a sub-select would not be safe.
const STORE = `
WITH target AS (
  SELECT id, owner_id, event_count < $4 AND event_bytes < $5 AS room FROM conversations
  WHERE id = $1 AND sandbox_id = $2 AND owner_id = $3 FOR NO KEY UPDATE
), fresh AS (
  INSERT INTO events (conversation_id, owner_id, id, kind, "timestamp", body)
  SELECT target.id, target.owner_id, given.id, given.kind, given.at, given.body
  FROM target, unnest($6::text[], $7::text[], $8::text[], $9::text[]) WITH ORDINALITY AS given(id, kind, at, body, place)
  WHERE target.room ORDER BY given.place
  ON CONFLICT DO NOTHING
  RETURNING octet_length(body) AS bytes
), sums AS (
  SELECT count(*)::int AS count, coalesce(sum(bytes), 0)::bigint AS bytes FROM fresh
), changed AS (
  UPDATE conversations SET
    event_count = event_count + sums.count, event_bytes = event_bytes + sums.bytes, updated_at = $10::timestamptz,
    execution_status = coalesce($11::text, execution_status),
    title = CASE WHEN title = $12::text THEN coalesce($13::text, title) ELSE title END,
    metrics = coalesce($14::jsonb, metrics)
  FROM sums, target WHERE conversations.id = target.id AND sums.count > 0
)
SELECT sums.count AS count, target.room AS room FROM sums, target`;

export interface Room {
  events: number;
  bytes: number;
}

/** undefined when there is no such conversation. */
export async function storeEvents(
  query: Query,
  place: Place,
  { rows, state, room, now }: { rows: EventRow[]; state: StateChange; room: Room; now: Date },
): Promise<Stored | undefined> {
  const column = (name: keyof EventRow) => rows.map((row) => row[name]);
  const [stored] = await query<Stored>(STORE, [
    place.conversationId,
    place.sandboxId,
    place.ownerId,
    room.events,
    room.bytes,
    column('id'),
    column('kind'),
    column('timestamp'),
    column('body'),
    now.toISOString(),
    state.executionStatus,
    state.defaultTitle,
    state.title,
    state.metrics,
  ]);
  return stored;
}
