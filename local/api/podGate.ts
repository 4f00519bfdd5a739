/** The way of log, exec, attach and port-forward requests to the node. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Duplex } from 'node:stream';
import type { Pod } from '../../kube/kinds.js';
import { targetUrl } from '../../process/target.js';
import { ApiError, notFound, unauthorized, NoSuchPath } from './errors.js';
import type { Access } from './access.js';
import type { Context } from './context.js';
import type { PodHandlers, PodRequest } from './podHandlers.js';
import { parseTarget, type Target } from './request.js';

export interface PodGate {
  setHandlers(handlers: PodHandlers): void;
  log(
    exchange: { request: IncomingMessage; response: ServerResponse; url: URL },
    aim: { target: Target },
  ): Promise<void>;
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  close(): void;
}

export function createPodGate(context: Context, access: Access): PodGate {
  let handlers: PodHandlers | undefined;
  const closing = new AbortController();
  const find = (target: Target): { pod: Pod; handlers: PodHandlers } => {
    const pod = context.store.get('core/pods', `${target.namespace}/${target.name}`);
    if (pod === undefined) throw notFound({ group: '', plural: 'pods' }, target.name);
    if (handlers === undefined)
      throw new ApiError({ code: 503, reason: 'ServiceUnavailable', message: 'the node of this pod is not running' });
    return { pod: pod as unknown as Pod, handlers };
  };
  const requestFor = (pod: Pod, query: URLSearchParams, stream: Duplex | ServerResponse): PodRequest => {
    const gone = new AbortController();
    stream.on('close', () => gone.abort());
    return { pod, query, signal: AbortSignal.any([gone.signal, closing.signal]) };
  };
  return {
    setHandlers: (given) => (handlers = given),
    async log({ response, url }, { target }) {
      const found = find(target);
      const chunks = await found.handlers.log(requestFor(found.pod, url.searchParams, response));
      response.writeHead(200, { 'content-type': 'text/plain', 'cache-control': 'no-cache, private' });
      response.flushHeaders();
      try {
        await pipeline(Readable.from(chunks, { objectMode: true }), response);
      } catch (error) {
        // The reader left, or the log broke off half-way: the head is sent, so ending is all that is left.
        context.log.debug({ error }, 'a log stream ended early');
        response.destroy();
      }
    },
    upgrade(request, socket, head) {
      socket.on('error', () => socket.destroy());
      try {
        if (!access.allows(request)) throw unauthorized();
        const url = targetUrl(request.url);
        const target = url === undefined ? undefined : parseTarget(url.pathname);
        if (url === undefined || target === undefined || target.group !== '' || target.plural !== 'pods')
          throw new NoSuchPath();
        const { pod, handlers: to } = find(target);
        const stream = { ...requestFor(pod, url.searchParams, socket), request, socket, head };
        if (target.subresource === 'exec') to.exec(stream);
        else if (target.subresource === 'attach') to.attach(stream);
        else if (target.subresource === 'portforward') to.portForward(stream);
        else throw new NoSuchPath();
      } catch (error) {
        refuse(socket, error);
      }
    },
    close: () => closing.abort(),
  };
}

function refuse(socket: Duplex, error: unknown): void {
  const status = error instanceof ApiError ? error.status : undefined;
  const code = status?.code ?? 404;
  const body = status === undefined ? '404 page not found\n' : JSON.stringify(status);
  const type = status === undefined ? 'text/plain' : 'application/json';
  socket.end(
    `HTTP/1.1 ${code} ${status?.reason ?? 'Not Found'}\r\nContent-Type: ${type}\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}
