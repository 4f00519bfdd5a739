/** Handshakes to what is no path: the router answers them, but nobody would close their sockets, and a stop would wait for them. */
import type { FastifyInstance } from 'fastify';
import { targetUrl } from '../../process/target.js';

export function refuseBadUpgrades(app: FastifyInstance): void {
  app.server.prependListener('upgrade', (request, socket) => {
    if (targetUrl(request.url) === undefined) socket.destroy();
  });
}
