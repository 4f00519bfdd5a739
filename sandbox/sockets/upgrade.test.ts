/** What sockets hold back, with a real server: frames of nobody, and connections to apps that were cut early. */
import { once } from 'node:events';
import { spawn } from 'node:child_process';
import type { IncomingMessage } from 'node:http';
import { PassThrough, type Duplex } from 'node:stream';
import t from 'tap';
import { WebSocket } from 'ws';
import { RELAY_PATH, RELAY_PROTOCOL } from '../../contracts/relay.js';
import { readServerConfig } from '../config.js';
import type { Context } from '../context.js';
import { environmentOf, folder, KEY, startHere } from '../testing/server.js';
import { relay } from './relay.js';

const dir = folder(t);
const config = readServerConfig(environmentOf(dir));
const server = await startHere(dir);
const app = spawn(
  process.execPath,
  [
    '-e',
    "const s=require('http').createServer((q,a)=>a.end('app'));s.listen(0,'127.0.0.1',()=>console.log(s.address().port))",
  ],
  { stdio: ['ignore', 'pipe', 'inherit'] },
);
const port = Number(String(((await once(app.stdout, 'data')) as [Buffer])[0]));
t.teardown(async () => {
  app.kill();
  await server.close();
});

t.test('a first frame without key is not kept in memory, however long it says it is', async (t) => {
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/sockets/bash-events`);
  socket.on('error', () => undefined);
  await once(socket, 'open');
  // Not its end: the server must not wait for it.
  socket.send('x'.repeat(1 << 20), { fin: false });
  const [code] = (await once(socket, 'close')) as [number];
  t.equal(code, 1009);
});

t.test('a first frame that is followed at once by a large one is let through', async (t) => {
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/sockets/bash-events`);
  await once(socket, 'open');
  socket.send(JSON.stringify({ type: 'auth', session_api_key: KEY }));
  socket.send(JSON.stringify({ type: 'none', filler: 'x'.repeat(4 << 20) }));
  const pong = once(socket, 'pong');
  socket.ping();
  await pong;
  t.equal(socket.readyState, WebSocket.OPEN);
  socket.close();
  await once(socket, 'close');
});

t.test('a connection to an app that is cut while the app is looked up takes no place', async (t) => {
  const relayed = new Set<Duplex>();
  const context = { config, init: { state: 'ready' } } as unknown as Context;
  const headers = { upgrade: RELAY_PROTOCOL, 'x-session-api-key': KEY };
  const request = { url: `${RELAY_PATH}${port}`, headers } as unknown as IncomingMessage;
  const cut = new PassThrough();
  const looking = relay({ context, relayed }, request, cut);
  t.equal(relayed.size, 1, 'taken before the look-up');
  cut.destroy();
  await looking;
  t.equal(relayed.size, 0);
  const kept = new PassThrough();
  await relay({ context, relayed }, request, kept);
  const [answer] = (await once(kept, 'data')) as [Buffer];
  t.match(String(answer), /^HTTP\/1\.1 101 /, 'the app is there, and the next one reaches it');
  t.equal(relayed.size, 1);
  kept.destroy();
  await once(kept, 'close');
  t.equal(relayed.size, 0);
});
