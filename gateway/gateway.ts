/** What all connections of a gateway share. */
import type { Answer, Reason } from './answers.js';
import type { Grant } from './authorize.js';
import type { Connection } from './connection.js';
import type { Context, Rules } from './decide.js';
import type { Budget } from './events/budget.js';
import type { RequestHead } from './http/request.js';
import type { Pool } from './pool.js';
import type { WaitingRoom } from './hold.js';
import type { Lookup } from './table.js';
import type { Waker } from './wake.js';

export interface Timeouts {
  /** Silence before the first request, and between two (above load balancers' 600 s). */
  firstByteMs: number;
  idleMs: number;
  /** From the first to the last byte of a head. */
  headMs: number;
  /** Silence until the head of a pod's answer, and between pieces of one whose length nobody has said. */
  answerMs: number;
  /** Silence of whoever is to send the rest of a body of known end, to take it, or to answer a handshake. */
  bodyMs: number;
  /** Silence after which a request loses its place when others find none. */
  crowdedMs: number;
  /** Until a WebSocket without credentials must have shown its key. */
  firstFrameMs: number;
  /** How long a request waits for a sandbox that it has woken. */
  holdMs: number;
}

export interface Finished {
  ip: string;
  head: RequestHead | undefined;
  /** 499: the client went away first. */
  status: number;
  reason: Reason | undefined;
  context: Context | undefined;
  grant: Grant | undefined;
  bytesIn: number;
  bytesOut: number;
  ms: number;
}

export interface Observer {
  finished(finished: Finished): void;
  /** A dial was repeated, or found nobody. */
  dialFailed(code: string): void;
}

export interface Gateway {
  rules: Rules;
  table: Lookup;
  pool: Pool;
  /** Time to half a second, so that moving bytes costs no system call for it. */
  clock: { now: number };
  timeouts: Timeouts;
  observer: Observer;
  /** ` https://ui …`: origins that may embed, after `'self'`. */
  embedders: string;
  /** Whether X-Forwarded-For of the client side is to be believed (an ingress in front). */
  trustForwarded: boolean;
  /** Whether the table is complete. */
  isSynced(): boolean;
  draining: boolean;
  connections: Set<Connection>;
  waker: Waker;
  /** Requests that wait for a resume. */
  held: WaitingRoom;
  /** Memory for histories that are read for event streams and polls. */
  history: Budget;
  /** Slots whose sandbox has changed since rights were last looked at. */
  changed: Set<string>;
}

export type { Answer };
