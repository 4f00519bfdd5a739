/** A stand-in for an agent server, REST pages and a live-only socket, and a reader of event streams. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Test } from 'tap';
import { WebSocketServer, type WebSocket } from 'ws';
import { ask } from './client.js';
import { gatewayTo, keyOf, slotNamed } from './harness.js';

export const A = slotNamed('a');
export const ID = '0123456789abcdef0123456789abcdef';
export const PATH = `/sockets/events/${ID}`;

export interface Stored {
  id: string;
  kind: string;
  timestamp: string;
  text?: string;
}

/** `delay`: how long a frame is under way to a socket, so that pages know of events before sockets do. */
const promptly = () => 0;

export async function agent(t: Test, delay = promptly) {
  const log: Stored[] = [];
  /** While it is set, pages wait for it. */
  let held: Promise<void> | undefined;
  let asked = 0;
  let isEndless = false;
  /** Pages that are asked for and not answered, now and at most. */
  const pages = { now: 0, most: 0 };
  const answer = (request: IncomingMessage, response: ServerResponse) => {
    const url = new URL(request.url ?? '', 'http://pod');
    if (request.headers['x-session-api-key'] !== keyOf(A)) return void response.writeHead(401).end();
    if (!url.pathname.includes(ID)) return void response.writeHead(404).end('{}');
    const limit = Number(url.searchParams.get('limit'));
    const since = url.searchParams.get('timestamp__gte');
    const place = log.findIndex(({ id }) => id === url.searchParams.get('page_id'));
    const from = since === null ? Math.max(place, 0) : log.findIndex(({ timestamp }) => timestamp >= since);
    const items = log.slice(from < 0 ? log.length : from).slice(0, limit);
    const next = log[log.indexOf(items.at(-1) as Stored) + 1];
    response.end(JSON.stringify({ items, next_page_id: isEndless ? 'e-0' : (next?.id ?? null) }));
  };
  const server = createServer((request, response) => {
    asked++;
    pages.most = Math.max(pages.most, ++pages.now);
    response.once('close', () => pages.now--);
    void Promise.resolve(held).then(() => answer(request, response));
  });
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket: WebSocket, request: IncomingMessage) => {
    if (request.url?.includes(ID) !== true) return socket.close(4004, 'Conversation not found');
    socket.send(JSON.stringify({ id: 'state', kind: 'ConversationStateUpdateEvent', key: 'full_state', value: {} }));
  });
  let turn = Promise.resolve();
  const tell = (event: object) => {
    // Later than another, but never before it.
    const [to, ms] = [[...sockets.clients], delay()];
    const send = () => to.forEach((socket) => socket.send(JSON.stringify(event)));
    if (ms === 0 && delay === promptly) send();
    else turn = turn.then(() => new Promise((resolve) => setTimeout(resolve, ms))).then(send);
  };
  const add = (text?: string) => {
    const n = log.length;
    // Three to a moment: times alone do not tell them apart.
    const timestamp = new Date(Date.UTC(2026, 10, 25, 12, 0, Math.floor(n / 3)))
      .toISOString()
      .replace('000Z', '000001');
    const event = { id: `e-${n}`, kind: 'MessageEvent', timestamp, ...(text === undefined ? {} : { text }) };
    log.push(event);
    tell(event);
  };
  const hold = () => {
    let release = () => undefined as void;
    held = new Promise((resolve) => (release = resolve));
    return () => {
      held = undefined;
      release();
    };
  };
  const { gateway, port } = await gatewayTo(t, { server, slot: A });
  return { gateway, log, add, tell, sockets, port, hold, pages, asked: () => asked, endless: () => (isEndless = true) };
}

interface Frame {
  id: string | undefined;
  event: string | undefined;
  data: string;
}

/** Reads a stream until told to stop. */
export async function open(gateway: { port: number }, cursor?: string, path = PATH) {
  const headers = { accept: 'text/event-stream', ...(cursor === undefined ? {} : { 'last-event-id': cursor }) };
  const { request, response } = ask(gateway.port, A, path, { headers, agent: false });
  const message = await response;
  const frames: Frame[] = [];
  let text = '';
  let beats = 0;
  const ended = new Promise<void>((resolve) => message.once('close', () => resolve()));
  message.on('error', () => undefined);
  request.on('error', () => undefined);
  message.setEncoding('utf8');
  message.on('data', (chunk: string) => {
    text += chunk;
    for (let at = text.indexOf('\n\n'); at >= 0; at = text.indexOf('\n\n')) {
      const lines = text.slice(0, at).split('\n');
      text = text.slice(at + 2);
      const field = (name: string) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
      const data = field('data');
      if (data !== undefined) frames.push({ id: field('id'), event: field('event'), data });
      else beats++;
    }
  });
  const ids = () => frames.filter(({ id }) => id !== undefined).map(({ data }) => (JSON.parse(data) as Stored).id);
  return { message, frames, ids, ended, beats: () => beats, close: () => request.destroy() };
}

export const names = (from: number, to: number) => Array.from({ length: to - from }, (_, n) => `e-${from + n}`);
