/**
 * Requests that wait for a sandbox to wake. They are bounded in number and time, and a body in what is read of it ahead; a page
 * is not held but answered with one that asks again by itself.
 */
import type { Answer } from './answers.js';
import { begin } from './begin.js';
import { sendAnswer, stash, type Connection } from './connection.js';
import { readable, resolve, type Forward } from './decide.js';
import type { Gateway } from './gateway.js';
import { isNavigation } from './http/request.js';
import { isSharedBy, portOf, type Route } from './table.js';

interface Held {
  connection: Connection;
  forward: Forward;
  startedAt: number;
}

/** Slot → who waits for it. */
export type WaitingRoom = Map<string, Set<Held>>;

const MAX_HELD = 1_000;
const MAX_HELD_PER_SANDBOX = 64;
const RESUMING: Answer = {
  status: 503,
  reason: 'SandboxStarting',
  message: 'It was paused and is being resumed.',
  retryAfter: 2,
};
const NOT_RESUMED: Answer = {
  status: 503,
  reason: 'SandboxPaused',
  message: 'It is paused, and resuming it did not work just now.',
  retryAfter: 5,
};

/** Wakes the sandbox; the request waits for it, or is told to come again. */
export function wakeAndHold(connection: Connection, forward: Forward): void {
  const { gateway } = connection;
  const { slot } = forward.route;
  const room = gateway.held.get(slot) ?? new Set<Held>();
  const held: Held = { connection, forward, startedAt: performance.now() };
  const isFull = room.size >= MAX_HELD_PER_SANDBOX || countHeld(gateway) >= MAX_HELD;
  if (isFull || (isNavigation(forward.head) && forward.grant !== 'key')) answer(held, RESUMING);
  else hold(held, room);
  // Last, since it may fail at once.
  gateway.waker.wake(forward.route, () => answerAll(gateway, slot, NOT_RESUMED));
}

function hold(held: Held, room: Set<Held>): void {
  const { connection, forward } = held;
  const { gateway } = connection;
  gateway.held.set(forward.route.slot, room.add(held));
  connection.deadline = gateway.clock.now + gateway.timeouts.holdMs;
  connection.user = {
    data: (chunk) => stash(connection, chunk),
    ended: () => leave(held, 499),
    closed: () => leave(held, 499),
    drained: () => undefined,
    expired: () => answer(held, RESUMING),
    drain: () => answer(held, RESUMING),
    revoked: () => undefined,
    moved: () => undefined,
  };
}

const countHeld = ({ held }: Gateway) => [...held.values()].reduce((sum, room) => sum + room.size, 0);

/** Looks again at those who wait for a slot that has changed. */
export function lookAgain(gateway: Gateway, slot: string): void {
  for (const held of [...(gateway.held.get(slot) ?? [])]) {
    const { connection, forward } = held;
    const route = gateway.table.bySlot(slot);
    const decision = route === undefined ? undefined : resolveAgain(forward, route, gateway);
    if (decision === undefined) answer(held, { status: 404, reason: 'UnknownSandbox', message: 'It is gone.' });
    else if (decision.do === 'forward') {
      take(held);
      begin(connection, decision.forward);
    } else if (decision.do === 'answer' && !isWaiting(decision.answer)) answer(held, decision.answer);
  }
}

const isWaiting = ({ reason }: Answer) => reason === 'SandboxPaused' || reason === 'SandboxStarting';

/** It was let in with the key of its time; the resume has made another, which the pod gets from the gateway. */
function resolveAgain(forward: Forward, route: Route, gateway: Gateway) {
  const port = portOf(route, forward.located.port);
  if (route.owner !== forward.route.owner) return undefined;
  if (forward.share !== undefined && !isSharedBy(route, forward.share, port, gateway.clock.now)) return undefined;
  return resolve({ ...forward, route, port, woken: true }, gateway.rules);
}

function answerAll(gateway: Gateway, slot: string, what: Answer): void {
  for (const held of [...(gateway.held.get(slot) ?? [])]) answer(held, what);
}

function answer(held: Held, what: Answer): void {
  const { connection, forward } = held;
  const { head } = forward;
  take(held);
  note(held, what.status, what);
  const keepAlive = head.keepAlive && !head.chunked && (head.length ?? 0) === 0;
  sendAnswer(connection, { head, answer: what, lines: readable(forward.trustedOrigin), keepAlive });
  connection.next(keepAlive);
}

function leave(held: Held, status: number): void {
  if (!take(held)) return;
  note(held, status, undefined);
  held.connection.socket.destroy();
}

function take(held: Held): boolean {
  const { gateway } = held.connection;
  const { slot } = held.forward.route;
  const room = gateway.held.get(slot);
  const was = room?.delete(held) ?? false;
  if (room?.size === 0) gateway.held.delete(slot);
  return was;
}

function note({ connection, forward, startedAt }: Held, status: number, what: Answer | undefined): void {
  connection.gateway.observer.finished({
    ip: connection.ip,
    head: forward.head,
    status,
    reason: what?.reason,
    context: forward,
    grant: forward.grant,
    bytesIn: 0,
    bytesOut: 0,
    ms: performance.now() - startedAt,
  });
}
