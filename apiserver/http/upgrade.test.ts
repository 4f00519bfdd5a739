import { once } from 'node:events';
import { connect, type AddressInfo } from 'node:net';
import websocket from '@fastify/websocket';
import Fastify from 'fastify';
import t from 'tap';
import { refuseBadUpgrades } from './upgrade.js';

t.test('a handshake to what is no path leaves no socket behind', { timeout: 20_000 }, async (t) => {
  const app = Fastify();
  refuseBadUpgrades(app);
  await app.register(websocket);
  await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.server.address() as AddressInfo;
  for (const path of ['http://[', '//', '/none']) {
    const socket = connect(port, '127.0.0.1');
    socket.resume().on('error', () => undefined);
    socket.write(
      `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
    );
    await once(socket, 'close');
  }
  await app.close();
  t.pass('closed');
});
