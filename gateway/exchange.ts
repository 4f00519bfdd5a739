/**
 * One request and its answer: connects the client to the pod and moves bytes both ways at the pace of the slower side. Only
 * heads are read and written; of bodies only the end is looked for.
 */
import type { Answer } from './answers.js';
import { connectPod } from './dialing.js';
import { noteTraffic, settle, touch, type Exchange } from './books.js';
import { stash, takeStash, sendAnswer, type ClientUser, type Connection } from './connection.js';
import { newCookie, readable, type Forward } from './decide.js';
import { bodyOfRequest, bodyOfResponse } from './framing.js';
import { closeFrame } from './frames.js';
import { createPageRewriter, headOfRewritten, isRewritable } from './html.js';
import { headForClient, headForPod, type Outgoing } from './heads.js';
import { advance, type Body } from './http/body.js';
import { BadMessage, MAX_RESPONSE_HEAD } from './http/message.js';
import { fieldOf, headToKeep, isNavigation, KEY_PARAMETER, queryOf, withoutParameter } from './http/request.js';
import { parseResponse, type ResponseHead } from './http/response.js';
import { enter, leave, overloadedBy } from './limits.js';
import type { LinkUser } from './link.js';
import type { Upstream } from './pool.js';
import { isPlatform } from './table.js';
import { startTunnel } from './tunnel.js';

const ACCESS_ENDED: Answer = {
  status: 401,
  reason: 'AccessEnded',
  message: 'The key or the link that opened this is no longer good.',
};
const MAX_INTERIM = 16;
/** Up to this size head and body are copied into one write: one system call and one packet. */
const ONE_WRITE = 16 * 1024;

export function startExchange(connection: Connection, forward: Forward, accepted = false): void {
  const exchange: Exchange = {
    connection,
    forward,
    startedAt: performance.now(),
    accepted,
    upstream: undefined,
    cancelDial: undefined,
    dials: 0,
    request: bodyOfRequest(forward.head),
    response: undefined,
    counted: forward.head.websocket ? 'streams' : 'requests',
    page: undefined,
    partial: undefined,
    interim: 0,
    continued: false,
    status: 0,
    bytesIn: 0,
    bytesOut: 0,
    keepAlive: false,
    podIdleMs: undefined,
    over: false,
  };
  enter(forward.route, exchange.counted);
  connection.user = clientSide(exchange);
  connection.forward = forward;
  touch(exchange);
  connectPod(exchange, { attach, fail });
}

function attach(exchange: Exchange, upstream: Upstream): void {
  const { connection, forward } = exchange;
  exchange.upstream = upstream;
  upstream.user = podSide(exchange);
  const bytes = takeStash(connection);
  const head = headForPod(forward.head, outgoing(exchange));
  if (bytes === undefined) {
    upstream.socket.write(head, 'latin1');
    return;
  }
  upstream.socket.cork();
  upstream.socket.write(head, 'latin1');
  fromClient(exchange, bytes);
  upstream.socket.uncork();
}

function outgoing({ connection, forward }: Exchange): Outgoing {
  const { located, route, port, grant, head } = forward;
  const { gateway } = connection;
  return {
    target: targetForPod(forward),
    prefix: located.prefix,
    injectKey: (grant === 'cookie' || forward.woken === true) && isPlatform(port) ? route.key : undefined,
    key: route.key,
    isPlatformPort: isPlatform(port),
    clientIp: connection.ip,
    protocol: gateway.rules.origins.protocol,
    forwardedFor: gateway.trustForwarded ? fieldOf(head, 'x-forwarded-for') : undefined,
  };
}

/** The session key opens the whole sandbox, so an app does not see it in its URLs; and a resume has made the old one useless. */
function targetForPod({ located, head, port, route, woken }: Forward): string {
  const key = queryOf(head.query, KEY_PARAMETER);
  const isDropped = key !== undefined && (woken === true || (!isPlatform(port) && key === route.key));
  return isDropped ? withoutParameter(located.target, KEY_PARAMETER) : located.target;
}

function clientSide(exchange: Exchange): ClientUser {
  return {
    data: (chunk) => fromClient(exchange, chunk),
    // A client that hangs up does not wait for the answer (browsers, curl and load balancers close both ways).
    ended: () => abort(exchange),
    closed: () => abort(exchange),
    drained: () => exchange.upstream?.socket.resume(),
    expired: () => fail(exchange, { status: 504, reason: 'TimedOut', message: 'The sandbox did not answer in time.' }),
    // A request in flight may end; its connection is closed with its answer.
    drain: () => undefined,
    revoked: () => fail(exchange, ACCESS_ENDED),
  };
}

function podSide(exchange: Exchange): LinkUser {
  return {
    data(chunk) {
      try {
        fromPod(exchange, chunk);
      } catch (error) {
        if (!(error instanceof BadMessage)) throw error;
        fail(exchange, { status: 502, reason: 'BadAnswer', message: `Bad answer of the sandbox: ${error.message}.` });
      }
    },
    ended: () => podEnded(exchange),
    closed: () => podEnded(exchange),
    drained: () => exchange.connection.socket.resume(),
  };
}

/** Bytes of the client: its body goes to the pod, what follows waits for its turn. */
function fromClient(exchange: Exchange, chunk: Buffer): void {
  const { connection, upstream, request } = exchange;
  touch(exchange);
  if (upstream === undefined || request.done) return stash(connection, chunk);
  let end: number;
  try {
    end = advance(request, chunk, 0);
  } catch (error) {
    if (!(error instanceof BadMessage)) throw error;
    return fail(exchange, { status: 400, reason: 'BadRequest', message: `Bad request: ${error.message}.` });
  }
  exchange.bytesIn += end;
  const { passed } = request;
  if (passed > 0 && !upstream.socket.write(passed === chunk.length ? chunk : chunk.subarray(0, passed)))
    connection.socket.pause();
  if (request.done && request.trailer !== '') upstream.socket.write(request.trailer, 'latin1');
  if (end < chunk.length) stash(connection, chunk.subarray(end));
}

function fromPod(exchange: Exchange, chunk: Buffer): void {
  touch(exchange);
  if (exchange.response !== undefined) return passAnswer(exchange, chunk, 0, '');
  const bytes = exchange.partial === undefined ? chunk : Buffer.concat([exchange.partial, chunk]);
  exchange.partial = undefined;
  readAnswer(exchange, bytes, 0);
}

const HEAD_END = Buffer.from('\r\n\r\n');

function readAnswer(exchange: Exchange, bytes: Buffer, start: number): void {
  const end = bytes.indexOf(HEAD_END, start);
  if ((end < 0 ? bytes.length : end) - start > MAX_RESPONSE_HEAD) throw new BadMessage(502, 'head too large');
  if (end < 0) {
    exchange.partial = start === 0 ? bytes : bytes.subarray(start);
    return;
  }
  const head = parseResponse(bytes, start, end + 2);
  const rest = end + 4;
  if (head.status === 101) return switchProtocols(exchange, head, bytes.subarray(rest));
  if (head.status >= 200) return startAnswer(exchange, head, bytes, rest);
  if (++exchange.interim > MAX_INTERIM) throw new BadMessage(502, 'too many interim answers');
  passInterim(exchange, head);
  if (rest < bytes.length) readAnswer(exchange, bytes, rest);
}

/** Only the one that the client asked for: others could meet a client that takes them for the answer. */
function passInterim(exchange: Exchange, { status }: ResponseHead): void {
  const { connection, forward } = exchange;
  if (status !== 100 || !forward.head.expectsContinue || exchange.continued) return;
  exchange.continued = true;
  connection.socket.write('HTTP/1.1 100 Continue\r\n\r\n');
}

function startAnswer(exchange: Exchange, head: ResponseHead, bytes: Buffer, start: number): void {
  const { connection, forward, request } = exchange;
  if (exchange.accepted) return refuseAccepted(exchange, 1011, 'the sandbox refused the connection');
  if (head.chunked && forward.head.minor === 0) throw new BadMessage(502, 'chunked answer to HTTP/1.0');
  const response = bodyOfResponse(forward.head.method, head);
  if (response.kind !== 'none' && head.length === undefined && isEventStream(head)) {
    const refusal = countAsStream(exchange);
    if (refusal !== undefined) return fail(exchange, refusal);
  }
  exchange.response = response;
  exchange.status = head.status;
  exchange.keepAlive =
    forward.head.keepAlive &&
    !connection.gateway.draining &&
    !forward.head.websocket &&
    response.kind !== 'close' &&
    request.done;
  exchange.podIdleMs = podIdleMs(head, response);
  const chunked = forward.head.minor === 1;
  if (forward.located.prefix !== '' && response.kind !== 'none' && isRewritable(head))
    exchange.page = createPageRewriter(forward.located.prefix, chunked);
  exchange.keepAlive &&= exchange.page === undefined || chunked;
  const shown = exchange.page === undefined ? head : headOfRewritten(head, chunked);
  passAnswer(exchange, bytes, start, headForClient(shown, incoming(exchange)));
}

const isEventStream = (head: ResponseHead) =>
  head.fields.some(({ name, value }) => name === 'content-type' && /^text\/event-stream\b/i.test(value));

/** An app's event stream lasts as a WebSocket does, and needs room as one. */
function countAsStream(exchange: Exchange): Answer | undefined {
  if (exchange.counted === 'streams') return undefined;
  const refusal = overloadedBy(exchange.forward.route, 'streams', exchange.connection.gateway.rules);
  if (refusal !== undefined) return refusal;
  leave(exchange.forward.route, exchange.counted);
  exchange.counted = 'streams';
  enter(exchange.forward.route, exchange.counted);
  return undefined;
}

/** A server says when it hangs up; a second earlier is safe. */
function podIdleMs(head: ResponseHead, response: Body): number | undefined {
  if (!head.keepAlive || response.kind === 'close') return 0;
  return head.keepAliveSeconds === undefined ? undefined : Math.min(head.keepAliveSeconds * 1000 - 1000, 4000);
}

function incoming({ connection, forward, keepAlive }: Exchange) {
  const { gateway } = connection;
  return {
    prefix: forward.located.prefix,
    trustedOrigin: forward.trustedOrigin,
    embedders: gateway.embedders,
    guarded: forward.grant === 'cookie' || forward.grant === 'share',
    base: `${gateway.rules.origins.protocol}://${forward.head.host}`,
    cookie: forward.grant === 'token' && isNavigation(forward.head) ? newCookie(forward, gateway.rules) : undefined,
    keepAlive,
    minor: forward.head.minor,
  };
}

/** Moves bytes[start…] of the answer on, behind `head` when that is not out yet. */
function passAnswer(exchange: Exchange, bytes: Buffer, start: number, head: string): void {
  const { connection, response } = exchange;
  if (response === undefined) return;
  if (exchange.page !== undefined) return passPage(exchange, bytes, start, head);
  const end = advance(response, bytes, start);
  const fits = writeAnswer(
    exchange,
    head,
    start === 0 && response.passed === bytes.length ? bytes : bytes.subarray(start, response.passed),
  );
  if (response.done && response.trailer !== '') connection.socket.write(response.trailer, 'latin1');
  noteTraffic(exchange);
  if (response.done) return finish(exchange, end < bytes.length);
  if (!fits) exchange.upstream?.socket.pause();
}

/** As passAnswer, for a page that changes on its way. */
function passPage(exchange: Exchange, bytes: Buffer, start: number, head: string): void {
  const { response, page } = exchange;
  if (response === undefined || page === undefined) return;
  // Once per packet, not per chunk: a pod chooses how many chunks there are.
  const pieces: Buffer[] = [];
  response.content = (from, to) => void pieces.push(bytes.subarray(from, to));
  const end = advance(response, bytes, start);
  const text = page.push(Buffer.concat(pieces)) + (response.done ? page.end() : '');
  const fits = writeAnswer(exchange, head, Buffer.from(text, 'latin1'));
  noteTraffic(exchange);
  if (response.done) return finish(exchange, end < bytes.length);
  if (!fits) exchange.upstream?.socket.pause();
}

function writeAnswer(exchange: Exchange, head: string, body: Buffer): boolean {
  const { socket } = exchange.connection;
  exchange.bytesOut += body.length;
  if (head === '') return body.length === 0 || socket.write(body);
  if (body.length === 0) return socket.write(head, 'latin1');
  if (body.length <= ONE_WRITE) {
    const both = Buffer.allocUnsafe(head.length + body.length);
    both.write(head, 0, 'latin1');
    both.set(body, head.length);
    return socket.write(both);
  }
  socket.cork();
  socket.write(head, 'latin1');
  const fits = socket.write(body);
  socket.uncork();
  return fits;
}

/** The answer is complete. `surplus`: the pod sent more than that, so its connection is not to be trusted again. */
function finish(exchange: Exchange, surplus: boolean): void {
  const { connection, upstream, request } = exchange;
  settle(exchange);
  if (upstream !== undefined) {
    upstream.user = undefined;
    const reusable = !surplus && request.done && exchange.podIdleMs !== 0;
    const { gateway } = connection;
    if (reusable) gateway.pool.give(upstream, gateway.clock.now, exchange.podIdleMs);
    else upstream.socket.destroy();
  }
  connection.next(exchange.keepAlive);
}

/** The pod's side ended or broke. */
function podEnded(exchange: Exchange): void {
  if (exchange.over) return;
  const { response } = exchange;
  if (response === undefined)
    return fail(exchange, {
      status: 502,
      reason: 'BadAnswer',
      message: 'The sandbox hung up without an answer.',
      retryAfter: 2,
    });
  if (response.kind === 'close' && exchange.upstream?.socket.errored == null) {
    response.done = true;
    if (exchange.page !== undefined) exchange.connection.socket.write(exchange.page.end(), 'latin1');
    return finish(exchange, false);
  }
  // The client must see that something is missing: cut instead of a clean end.
  cut(exchange);
}

/** Ends the exchange with an answer of the gateway, or cuts it when an answer is already under way. */
function fail(exchange: Exchange, answer: Answer): void {
  if (exchange.over) return;
  if (exchange.accepted) return refuseAccepted(exchange, 1013, answer.reason);
  if (exchange.response !== undefined) return cut(exchange);
  const { connection, forward, request } = exchange;
  const keepAlive = forward.head.keepAlive && request.done && !forward.head.websocket;
  exchange.status = answer.status;
  dropPod(exchange);
  settle(exchange, answer);
  sendAnswer(connection, { head: forward.head, answer, lines: readable(forward.trustedOrigin), keepAlive });
  connection.next(keepAlive);
}

function refuseAccepted(exchange: Exchange, code: number, reason: string): void {
  exchange.status = 502;
  dropPod(exchange);
  settle(exchange);
  exchange.connection.socket.write(closeFrame(code, reason));
  exchange.connection.next(false);
}

function cut(exchange: Exchange): void {
  dropPod(exchange);
  settle(exchange);
  exchange.connection.socket.destroy();
}

/** The client went away: the pod learns it at once. */
function abort(exchange: Exchange): void {
  if (exchange.over) return;
  if (exchange.status === 0) exchange.status = 499;
  cut(exchange);
}

function dropPod(exchange: Exchange): void {
  exchange.cancelDial?.();
  exchange.cancelDial = undefined;
  if (exchange.upstream === undefined) return;
  exchange.upstream.user = undefined;
  exchange.upstream.socket.destroy();
}

function switchProtocols(exchange: Exchange, head: ResponseHead, rest: Buffer): void {
  const { connection, forward, upstream, accepted } = exchange;
  if (!forward.head.websocket || upstream === undefined) throw new BadMessage(502, 'unasked switch of protocols');
  exchange.status = 101;
  if (!accepted) {
    const text = headForClient(head, { ...incoming(exchange), keepAlive: true, minor: 1 });
    connection.socket.write(`${text.slice(0, -2)}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`, 'latin1');
  }
  noteTraffic(exchange);
  letGo(exchange);
  startTunnel(exchange, upstream, rest);
}

/** From now on only the books ask for the request, and who may still have it. */
function letGo(exchange: Exchange): void {
  const { connection, forward } = exchange;
  const { located, route } = forward;
  exchange.forward = {
    ...forward,
    head: headToKeep(forward.head),
    located: { ...located, slot: route.slot, target: '', prefix: '' },
    trustedOrigin: undefined,
  };
  connection.forward = exchange.forward;
}
