/** The pod has accepted a WebSocket: the exchange becomes a tunnel. */
import { headForClient } from '../heads.js';
import { BadMessage } from '../http/message.js';
import { headToKeep } from '../http/request.js';
import type { ResponseHead } from '../http/response.js';
import { noteTraffic, type Exchange } from './books.js';
import { incoming } from './heads.js';
import { startTunnel } from './tunnel.js';

export function switchProtocols(exchange: Exchange, head: ResponseHead, rest: Buffer): void {
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
  connection.yieldAt = Infinity;
}
