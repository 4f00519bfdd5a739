/** Pods and clients by Node's own http, for tests of forwarding. */
import {
  createServer as createHttpServer,
  request as httpRequest,
  type IncomingMessage,
  type RequestListener,
  type RequestOptions,
} from 'node:http';
import type { Test } from 'tap';
import { addPod, hostOf, keyOf, listenLocal, startTestGateway } from './harness.js';

export async function pod(t: Test, handler: RequestListener) {
  const server = createHttpServer(handler);
  const port = await listenLocal(server);
  let connections = 0;
  server.on('connection', () => connections++);
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return { server, port, connections: () => connections };
}

export async function gatewayFor(
  t: Test,
  ports: Record<string, Record<string, number>>,
  options: Parameters<typeof startTestGateway>[0] = {},
) {
  const gateway = await startTestGateway(options);
  t.teardown(() => gateway.close());
  for (const [slot, named] of Object.entries(ports)) addPod(gateway, slot, named);
  return gateway;
}

/** Starts a request to a sandbox; resolves with the head of the answer. */
export function ask(
  port: number,
  slot: string,
  path: string,
  options: RequestOptions & { body?: Buffer | string } = {},
) {
  const { body, ...rest } = options;
  const request = httpRequest({
    port,
    host: '127.0.0.1',
    path,
    ...rest,
    headers: { host: hostOf(slot), 'x-session-api-key': keyOf(slot), ...(rest.headers as Record<string, string>) },
  });
  const response = new Promise<IncomingMessage>((resolve, reject) => {
    request.once('response', resolve);
    request.once('error', reject);
  });
  if (body !== undefined || options.method === undefined || options.method === 'GET' || options.method === 'HEAD')
    request.end(body);
  return { request, response };
}

export async function textOf(message: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of message) text += String(chunk);
  return text;
}
export const get = async (
  port: number,
  slot: string,
  path: string,
  options: RequestOptions & { body?: Buffer | string } = {},
) => {
  const response = await ask(port, slot, path, options).response;
  return { status: response.statusCode, headers: response.headers, text: await textOf(response) };
};
export const raw = (slot: string, line: string, fields = '', body = '') =>
  `${line}\r\nHost: ${hostOf(slot)}\r\nX-Session-API-Key: ${keyOf(slot)}\r\n${fields}\r\n${body}`;
export const deferred = <T = void>() => {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((done) => (resolve = done));
  return { promise, resolve };
};
