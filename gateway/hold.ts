/**
 * Requests that wait for a sandbox to wake. They are bounded in number and time, and a body in what is read of it ahead; a page
 * is not held but answered with one that asks again by itself. Forms wait for room and for a starting pod too, and then are told
 * to come again with what they carry (307).
 */
import { renderEmpty, type Answer } from './answers.js';
import { begin } from './begin.js';
import { sendAnswer, stash, type Connection } from './connection.js';
import { readable, resolve, type Forward } from './decide.js';
import type { Gateway } from './gateway.js';
import { isForm, isNavigation } from './http/request.js';
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
/** Below the 20 redirects of a browser, it tries for that many seconds. */
const ROOM_MS = 1_000;
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
  const held: Held = { connection, forward, startedAt: performance.now() };
  if (isFull(gateway, slot) || (isNavigation(forward.head) && forward.grant !== 'key')) answer(held, RESUMING);
  else hold(held, gateway.timeouts.holdMs);
  // Last, since it may fail at once.
  gateway.waker.wake(forward.route, () => answerAll(gateway, slot, NOT_RESUMED));
}

/** A form for which there is no room, or no pod yet, waits for that: for room a moment only, since none is announced. */
export function holdForm(connection: Connection, forward: Forward): void {
  const { gateway } = connection;
  const held: Held = { connection, forward, startedAt: performance.now() };
  const refusal = resolve(forward, gateway.rules);
  if (refusal.do === 'forward') return begin(connection, forward);
  if (isFull(gateway, forward.route.slot)) return answer(held, refusal.answer);
  hold(held, refusal.answer.reason === 'TooManyRequests' ? ROOM_MS : gateway.timeouts.holdMs);
}

const isFull = (gateway: Gateway, slot: string) =>
  (gateway.held.get(slot)?.size ?? 0) >= MAX_HELD_PER_SANDBOX || countHeld(gateway) >= MAX_HELD;

function hold(held: Held, ms: number): void {
  const { connection, forward } = held;
  const { gateway } = connection;
  const { slot } = forward.route;
  gateway.held.set(slot, (gateway.held.get(slot) ?? new Set<Held>()).add(held));
  connection.deadline = gateway.clock.now + ms;
  connection.user = {
    data: (chunk) => stash(connection, chunk),
    ended: () => leave(held),
    closed: () => leave(held),
    drained: () => undefined,
    expired: () => comeAgain(held),
    drain: () => comeAgain(held),
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
    } else if (!isWaiting(decision.answer, forward)) answer(held, decision.answer);
  }
}

const isWaiting = ({ reason }: Answer, { head }: Forward) =>
  reason === 'SandboxPaused' || reason === 'SandboxStarting' || (reason === 'TooManyRequests' && isForm(head));

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
  const keepAlive = head.keepAlive && !head.chunked && (head.length ?? 0) === 0;
  const bytesOut = sendAnswer(connection, { head, answer: what, lines: readable(forward.trustedOrigin), keepAlive });
  note(held, what.status, what, bytesOut);
  connection.next(keepAlive);
}

/** Browsers follow some twenty times, with the form. */
function comeAgain(held: Held): void {
  const { connection, forward } = held;
  const { head } = forward;
  // What begins with two slashes would name another host, and hand the form to it.
  if (!isForm(head) || !/^\/(?![/\\])/.test(head.target)) return answer(held, RESUMING);
  take(held);
  note(held, 307, undefined);
  connection.socket.write(renderEmpty(307, `Location: ${head.target}\r\nCache-Control: no-store\r\n`, false), 'latin1');
  connection.next(false);
}

function leave(held: Held): void {
  if (!take(held)) return;
  note(held, 499, undefined);
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

function note({ connection, forward, startedAt }: Held, status: number, what: Answer | undefined, bytesOut = 0): void {
  connection.gateway.observer.finished({
    ip: connection.ip,
    head: forward.head,
    status,
    reason: what?.reason,
    context: forward,
    grant: forward.grant,
    bytesIn: 0,
    bytesOut,
    ms: performance.now() - startedAt,
  });
}
