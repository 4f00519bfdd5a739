/**
 * How much history is stored, of one conversation and of one user: an agent in a loop must not fill the database of
 * everybody. The agent itself is not stopped, and its own log keeps everything; the history here ends with an event that
 * says so. A limit may be passed by the batch that reaches it.
 */
import type { Clock } from '../../kube/types.js';
import type { Query } from '../db/open.js';
import type { Place, Room } from './store.js';

export interface QuotaLimits {
  conversationEvents: number;
  conversationBytes: number;
  userBytes: number;
}

export interface Quota {
  /** What each conversation of this user may hold now. */
  roomOf(ownerId: string): Promise<Room>;
}

const GIB = 1024 ** 3;
export const DEFAULT_LIMITS: QuotaLimits = {
  conversationEvents: 1_000_000,
  conversationBytes: GIB,
  userBytes: 50 * GIB,
};

/** A user's sum is read this often at most; what comes in between may pass the limit. */
const FRESH_MS = 30_000;
const MAX_KEPT = 10_000;
const SUM = 'SELECT coalesce(sum(event_bytes), 0)::float8 AS bytes FROM conversations WHERE owner_id = $1';

export function createQuota({ query, clock, limits }: { query: Query; clock: Clock; limits: QuotaLimits }): Quota {
  const sums = new Map<string, { at: number; bytes: Promise<number> }>();
  const bytesOf = (ownerId: string): Promise<number> => {
    const known = sums.get(ownerId);
    if (known !== undefined && clock.now() - known.at < FRESH_MS) return known.bytes;
    if (sums.size >= MAX_KEPT) sums.clear();
    const bytes = query<{ bytes: number }>(SUM, [ownerId]).then(([row]) => row?.bytes ?? 0);
    bytes.catch(() => sums.delete(ownerId));
    sums.set(ownerId, { at: clock.now(), bytes });
    return bytes;
  };
  const whole = { events: limits.conversationEvents, bytes: limits.conversationBytes };
  return {
    roomOf: async (ownerId) => ((await bytesOf(ownerId)) < limits.userBytes ? whole : { events: 0, bytes: 0 }),
  };
}

const TELL = `
INSERT INTO events (conversation_id, owner_id, id, kind, "timestamp", body)
SELECT id, owner_id, $3, 'ConversationErrorEvent', $4, $5 FROM conversations WHERE id = $1 AND owner_id = $2 FOR KEY SHARE
ON CONFLICT DO NOTHING`;

/** Ends the stored history with an event that says why; once a conversation. */
export async function tellFull(query: Query, place: Place, { room, now }: { room: Room; now: Date }): Promise<void> {
  const id = `event-limit-${place.conversationId}`;
  const timestamp = now.toISOString().replace('Z', '000');
  const detail =
    room.events === 0
      ? 'Your conversations hold as much history as one user may store. Later events of this one are not in its history; delete conversations to make room.'
      : `This conversation holds as much history as one may store (${room.events} events or ${room.bytes} bytes). Later events are not in its history; go on in a new conversation.`;
  const event = {
    id,
    timestamp,
    source: 'environment',
    code: 'STORAGE$EVENT_LIMIT',
    detail,
    kind: 'ConversationErrorEvent',
  };
  await query(TELL, [place.conversationId, place.ownerId, id, timestamp, JSON.stringify(event)]);
}
