/**
 * The editor's port. Lets in who has the session key, starts VS Code at the first request, sends requests and sockets
 * on to it, and offers to install it where there is none.
 */
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Logger } from '../../process/log.js';
import { decide, headersFor, type Decision, type Rules } from './access.js';
import { INSTALL_PATH, installPage, OPEN_PATH, openPage, problemPage } from './pages.js';
import type { Program } from './program.js';
import type { InstallProgress } from './service.js';

export interface FrontOptions {
  program: Program;
  progress(): Promise<InstallProgress>;
  install(): Promise<InstallProgress>;
  rules(): Rules;
  touch(): void;
  log: Logger;
}

const MAX_CONNECTIONS = 512;
/** The editor says in frames of this size that it is still open; a person at work sends larger ones. */
const KEEP_ALIVE_BYTES = 64;

/** Not listening yet. */
export function createFront(options: FrontOptions): Server {
  const server = createServer((request, response) => {
    serve(options, request, response).catch((error: unknown) => fail(options.log, response, error));
  });
  server.maxConnections = MAX_CONNECTIONS;
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy());
    tunnel(options, { request, socket, head }).catch(() => socket.destroy());
  });
  return server;
}

const decisionFor = ({ rules }: FrontOptions, { method = 'GET', headers, url = '/' }: IncomingMessage): Decision =>
  decide({ method, headers, target: url }, rules());

async function serve(options: FrontOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const decision = decisionFor(options, request);
  if (decision.kind === 'refuse') return answer(response, decision.status, problemPage(decision.message));
  options.touch();
  if (decision.kind === 'redirect') {
    const cookie = decision.cookie === undefined ? {} : { 'set-cookie': decision.cookie };
    response.writeHead(302, { location: decision.location, 'cache-control': 'no-store', ...cookie });
    return void response.end();
  }
  if (request.method === 'POST' && decision.target === INSTALL_PATH) {
    await options.install();
    response.writeHead(303, { location: '../' });
    return void response.end();
  }
  const progress = await options.progress();
  if (progress.state !== 'installed') return answer(response, 503, installPage(progress));
  if (decision.target.split('?', 1)[0] === OPEN_PATH) {
    // The editor starts while the browser looks at this page.
    options.program.ready().catch(() => undefined);
    return answer(response, 200, openPage());
  }
  forward({ request, response, target: decision.target, socketPath: await options.program.ready() }, options.log);
}

interface Forward {
  request: IncomingMessage;
  response: ServerResponse;
  target: string;
  socketPath: string;
}

function forward({ request, response, target, socketPath }: Forward, log: Logger): void {
  const { method = 'GET' } = request;
  const upstream = httpRequest(
    { socketPath, method, path: target, headers: headersFor(request.headers), setHost: false },
    (answered) => {
      response.writeHead(answered.statusCode ?? 502, answered.headers);
      answered.pipe(response);
      answered.on('error', () => response.destroy());
    },
  );
  upstream.on('error', (error) => fail(log, response, error));
  response.on('close', () => upstream.destroy());
  request.pipe(upstream);
}

async function tunnel(
  options: FrontOptions,
  { request, socket, head }: { request: IncomingMessage; socket: Duplex; head: Buffer },
): Promise<void> {
  const decision = decisionFor(options, request);
  if (decision.kind !== 'pass') return void socket.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n');
  const upstream = connect(await options.program.ready());
  const end = () => {
    socket.destroy();
    upstream.destroy();
  };
  upstream.on('error', end);
  upstream.on('close', end);
  socket.on('close', end);
  socket.on('data', (bytes: Buffer) => {
    if (bytes.length > KEEP_ALIVE_BYTES) options.touch();
  });
  upstream.write(headText(request, decision.target), 'latin1');
  upstream.write(head);
  socket.pipe(upstream).pipe(socket);
}

function headText(request: IncomingMessage, target: string): string {
  const headers = headersFor(request.headers);
  const lines = Object.entries(headers).flatMap(([name, value]) =>
    [value ?? []].flat().map((one) => `${name}: ${one}\r\n`),
  );
  return `${request.method ?? 'GET'} ${target} HTTP/1.1\r\n${lines.join('')}\r\n`;
}

function answer(response: ServerResponse, status: number, html: string): void {
  response.writeHead(status, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' });
  response.end(html);
}

function fail(log: Logger, response: ServerResponse, error: unknown): void {
  if (response.destroyed) return;
  log.warn({ err: error }, 'a request to VS Code failed');
  if (response.headersSent) return void response.destroy();
  answer(response, 502, problemPage(error instanceof Error ? error.message : 'It does not answer.'));
}
