/** One connection of a client, as those who use it in turn see it: the head reader, an exchange, a tunnel. */
import type { Socket } from 'node:net';
import { renderAnswer, type Answer } from './answers.js';
import type { Forward } from './decide.js';
import type { Gateway } from './gateway.js';
import type { RequestHead } from './http/request.js';
import type { LinkUser } from './link.js';

export interface ClientUser extends LinkUser {
  /** The deadline has passed. */
  expired(): void;
  /** The gateway is about to stop: finish soon. */
  drain(): void;
  /** What is under way is allowed no longer. */
  revoked(): void;
  /** The pod has been replaced: what is under way to the old one gets no further. */
  moved(): void;
}

export interface Connection {
  gateway: Gateway;
  socket: Socket;
  ip: string;
  user: ClientUser;
  /** What it was let in for, while that is under way. */
  forward: Forward | undefined;
  /** Bytes that came and were not used yet. */
  stash: Buffer | undefined;
  /** When `user.expired` is called (ms since 1970). */
  deadline: number;
  /** When it is called already if places are scarce (ms since 1970); Infinity for never. */
  yieldAt: number;
  /** The answer is out: take the next request, or close. */
  next(keepAlive: boolean): void;
}

/** How much a client may send ahead of its turn before it is no longer read. */
const MAX_STASH = 64 * 1024;

/** Keeps bytes for later; stops reading when it gets too much. */
export function stash(connection: Connection, chunk: Buffer): void {
  connection.stash = connection.stash === undefined ? chunk : Buffer.concat([connection.stash, chunk]);
  if (connection.stash.length > MAX_STASH) connection.socket.pause();
}

export function takeStash(connection: Connection): Buffer | undefined {
  const bytes = connection.stash;
  connection.stash = undefined;
  if (connection.socket.isPaused()) connection.socket.resume();
  return bytes;
}

export interface Sending {
  head: RequestHead | undefined;
  answer: Answer;
  lines: string;
  keepAlive: boolean;
}

/** Answers how many bytes its body has. */
export function sendAnswer(connection: Connection, { head, answer, lines, keepAlive }: Sending): number {
  const { embedders } = connection.gateway;
  const text = renderAnswer(answer, { head, keepAlive, lines, embedders });
  connection.socket.write(text, 'utf8');
  return Buffer.byteLength(text.slice(text.indexOf('\r\n\r\n') + 4));
}
