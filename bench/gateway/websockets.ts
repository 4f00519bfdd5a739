/**
 * WebSockets: memory of idle and busy ones and messages per second and core, through each proxy in turn, in one run.
 * Usage: node dist/bench/gateway/websockets.js [idle, default 10000] [busy, default 1000] [seconds, default 5]
 * Memory is the growth of the proxy's own resident set, after a hundred that came and went have warmed it up.
 */
import { fork } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { hostOf, keyOf, slotNamed } from '../../gateway/testing/harness.js';
import { cpuSeconds, mostCarried, residentKb } from './machine.js';
import { startProxies, temporaryFolder, type Running } from './proxies.js';

/** As many as the limit of open files allows. */
const idle = mostCarried(Number(process.argv[2] ?? 10_000));
const busy = Number(process.argv[3] ?? 1_000);
const seconds = Number(process.argv[4] ?? 5);
const AT_ONCE = 50;
const TARGET_KB = 12;
const SLOT = slotNamed('a');

/** A handshake as Chromium sends it through an ingress. */
const HANDSHAKE = `GET /ws HTTP/1.1\r\nHost: ${hostOf(SLOT)}\r\nX-Session-API-Key: ${keyOf(SLOT)}\r\nConnection: Upgrade\r\nPragma: no-cache\r\nCache-Control: no-cache\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n`;

/** A masked text frame of 32 bytes. */
const MESSAGE = Buffer.concat([Buffer.from([0x81, 0xa0, 1, 2, 3, 4]), Buffer.alloc(32, 'x')]);

function open(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    let head = '';
    socket.setNoDelay(true);
    socket.once('error', reject);
    socket.once('close', () => reject(new Error(`closed: ${head.slice(0, 200)}`)));
    socket.write(HANDSHAKE);
    socket.on('data', (chunk) => {
      head += chunk.toString('latin1');
      if (!head.includes('\r\n\r\n')) return;
      socket.removeAllListeners('data').removeAllListeners('close');
      if (head.startsWith('HTTP/1.1 101 ')) resolve(socket);
      else reject(new Error(head));
    });
  });
}

async function openMany(port: number, count: number): Promise<Socket[]> {
  const sockets: Socket[] = [];
  while (sockets.length < count) {
    const size = Math.min(AT_ONCE, count - sockets.length);
    sockets.push(...(await Promise.all(Array.from({ length: size }, () => open(port)))));
  }
  return sockets;
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function closeAll(sockets: Socket[]): Promise<void> {
  for (const socket of sockets) socket.destroy();
  await pause(1_000);
}

/** Each socket has one message under way; counts those that came back. */
async function exchangeMessages(sockets: Socket[]): Promise<number> {
  let back = 0;
  let over = false;
  for (const socket of sockets) {
    socket.on('data', (chunk) => {
      back += chunk.length;
      if (!over) socket.write(MESSAGE);
    });
    socket.write(MESSAGE);
  }
  await pause(seconds * 1000);
  over = true;
  return back / MESSAGE.length;
}

async function measure({ name, port, pid }: Running) {
  await closeAll(await openMany(port, 100));
  const before = residentKb(pid);
  const many = await openMany(port, idle);
  await pause(3_000);
  const idleKb = (residentKb(pid) - before) / idle;
  await closeAll(many);
  const few = await openMany(port, busy);
  const begin = cpuSeconds(pid);
  const messages = await exchangeMessages(few);
  const used = cpuSeconds(pid) - begin;
  const busyRss = residentKb(pid);
  await closeAll(few);
  return {
    proxy: name,
    'KB per idle socket': Number(idleKb.toFixed(1)),
    'messages/s': Math.round(messages / seconds),
    'messages/s/core': Math.round(messages / used),
    'RSS MB while busy': Math.round(busyRss / 1024),
  };
}

async function main(): Promise<void> {
  const folder = temporaryFolder();
  const own = import.meta.url.endsWith('.ts');
  const echo = fork(new URL(`./echo.${own ? 'ts' : 'js'}`, import.meta.url), {
    execArgv: own ? ['--import', import.meta.resolve('tsx')] : [],
  });
  const { port } = await new Promise<{ port: number }>((resolve) =>
    echo.once('message', (message) => resolve(message as { port: number })),
  );
  const proxies = await startProxies(folder.path, port, SLOT);
  try {
    const rows = [];
    for (const proxy of proxies) rows.push(await measure(proxy));
    console.table(rows);
    console.log(
      `${idle} idle, ${busy} busy; target: ${TARGET_KB} KB per idle socket; sandlot: ${rows[0]?.['KB per idle socket'] ?? '?'} KB`,
    );
  } finally {
    for (const running of proxies) running.stop();
    echo.kill();
    folder.remove();
  }
}

await main();
