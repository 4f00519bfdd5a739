/** Pods and clients that speak whatever bytes a test wants, for the hostile suites. */
import { createServer, type Socket } from 'node:net';
import type { Test } from 'tap';
import { addPod, hostOf, keyOf, listenLocal, rawClient, slotNamed, startTestGateway } from './harness.js';

export const A = slotNamed('a');
export const B = slotNamed('b');
export const AUTH = `Host: ${hostOf(A)}\r\nX-Session-API-Key: ${keyOf(A)}\r\n`;
export const GOOD = `GET /good HTTP/1.1\r\n${AUTH}\r\n`;
export const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood';

export const post = (fields: string, body = '', line = 'POST /p HTTP/1.1') => `${line}\r\n${AUTH}${fields}\r\n${body}`;

export type RawAnswer = (socket: Socket, heard: string) => void;

/** A pod that keeps all it hears and answers each connection by `answer`. */
export async function rawPod(t: Test, answer: RawAnswer) {
  const heard: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    const at = heard.push('') - 1;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      heard[at] += chunk.toString('latin1');
      answer(socket, chunk.toString('latin1'));
    });
  });
  const port = await listenLocal(server);
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port, heard, sockets };
}

/** A gateway in front of one such pod. */
export async function setup(t: Test, answer: RawAnswer, options: Parameters<typeof startTestGateway>[0] = {}) {
  const pod = await rawPod(t, answer);
  const gateway = await startTestGateway(options);
  t.teardown(() => gateway.close());
  addPod(gateway, A, { agent: pod.port, 'worker-1': pod.port });
  return { pod, gateway };
}

/** Sends `text` and gives everything that comes back until the gateway closes. */
export async function send(port: number, text: string): Promise<string> {
  const client = rawClient(port);
  client.socket.write(text, 'latin1');
  return client.ended;
}

/** One good request on a connection of its own. */
export async function getGood(port: number): Promise<string> {
  const client = rawClient(port);
  client.socket.write(GOOD);
  const text = await client.until(/good$/);
  client.socket.destroy();
  return text;
}
