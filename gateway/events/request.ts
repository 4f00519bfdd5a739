/**
 * Events of a conversation for clients that get no WebSocket through: at the WebSocket's own address, as a stream of server-sent
 * events (`Accept: text/event-stream`) or by long polling (`?transport=poll`). A cursor, the `id:` of an event, says where to go
 * on; without one everything is sent. Pure.
 */
import { fieldOf, queryOf, type RequestHead } from '../http/request.js';

export interface Cursor {
  /** Of the last event that the client has. */
  id: string;
  /** Its time, for servers that know the event no more. */
  time: string | undefined;
}

export interface EventsRequest {
  transport: 'stream' | 'poll';
  /** As it was written. */
  conversation: string;
  /** Undefined: from the beginning. */
  after: Cursor | undefined;
  /** The client has read nothing yet. */
  isFirst: boolean;
}

/** Cursor of a poll that has seen no event yet. */
export const START = 'start';

const PATH = /^\/sockets\/events\/([0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:\?|$)/i;

/** `target`: as the agent server would see it. Undefined: this is another request. */
export function eventsRequest(head: RequestHead, target: string): EventsRequest | undefined {
  if (head.websocket || head.method !== 'GET' || !target.startsWith('/sockets/events/')) return undefined;
  const conversation = PATH.exec(target)?.[1];
  const transport = transportOf(head);
  if (conversation === undefined || transport === undefined) return undefined;
  const after = fieldOf(head, 'last-event-id') ?? queryOf(head.query, 'after');
  const cursor = after === undefined || after === START ? undefined : readCursor(after);
  return { transport, conversation, after: cursor, isFirst: after === undefined };
}

function transportOf(head: RequestHead): EventsRequest['transport'] | undefined {
  if (queryOf(head.query, 'transport') === 'poll') return 'poll';
  return head.accept?.includes('text/event-stream') === true ? 'stream' : undefined;
}

const ID = /^[A-Za-z0-9._:+-]{1,128}$/;

/** `<event id>/<time>`, or only an id. Undefined for anything else, as for an empty Last-Event-ID: begin at the beginning. */
export function readCursor(text: string): Cursor | undefined {
  const [id = '', time] = text.split('/', 2);
  return ID.test(id) ? { id, time: time !== undefined && ID.test(time) ? time : undefined } : undefined;
}

export const writeCursor = ({ id, time }: Cursor): string => (time === undefined ? id : `${id}/${time}`);
