/** The answer of the pod: its head is read, checked and written anew; its body moves on as it comes, or as a rewritten page. */
import type { Answer } from '../answers.js';
import { bodyOfResponse } from '../framing.js';
import { headForClient } from '../heads.js';
import { advance, type Body } from '../http/body.js';
import { BadMessage, MAX_RESPONSE_HEAD } from '../http/message.js';
import { parseResponse, type ResponseHead } from '../http/response.js';
import { enter, leave, overloadedBy } from '../limits.js';
import { createPageRewriter, headOfRewritten } from '../pages/rewriter.js';
import { noteTraffic, touch, type Exchange } from './books.js';
import { fail, finish, refuseAccepted } from './end.js';
import { incoming } from './heads.js';
import { switchProtocols } from './upgrade.js';

const MAX_INTERIM = 16;
/** Up to this size head and body are copied into one write: one system call and one packet. */
const ONE_WRITE = 16 * 1024;

export function fromPod(exchange: Exchange, chunk: Buffer): void {
  if (exchange.response !== undefined) return passAnswer(exchange, chunk, 0, '');
  touch(exchange);
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
  if (forward.located.prefix !== '' && response.kind !== 'none')
    exchange.page = createPageRewriter(head, incoming(exchange), chunked);
  exchange.keepAlive &&= exchange.page === undefined || chunked;
  const shown = exchange.page === undefined ? head : headOfRewritten(head, chunked);
  passAnswer(exchange, bytes, start, headForClient(shown, incoming(exchange)));
}

const isEventStream = (head: ResponseHead) =>
  head.fields.some(({ name, value }) => name === 'content-type' && /^text\/event-stream\b/i.test(value));

/** An app's event stream lasts as a WebSocket does, and needs room as one. */
function countAsStream(exchange: Exchange): Answer | undefined {
  if (exchange.counted === 'streams') return undefined;
  const refusal = overloadedBy(exchange.forward, 'streams', exchange.connection.gateway.rules);
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
  touch(exchange);
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
  touch(exchange);
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
