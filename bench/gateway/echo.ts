/**
 * What the proxies are given to carry in the WebSocket bench: a server that takes every handshake and from then on returns the
 * bytes that come. (No proxy here changes frames, so nothing has to be unmasked, and the server costs little.) Prints its port.
 */
import { createHash } from 'node:crypto';
import { createServer, type AddressInfo } from 'node:net';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

const server = createServer((socket) => {
  let head = '';
  socket.on('error', () => undefined);
  socket.on('data', (chunk) => {
    head += chunk.toString('latin1');
    if (!head.includes('\r\n\r\n')) return;
    const key = /sec-websocket-key: *(\S+)/i.exec(head)?.[1];
    socket.removeAllListeners('data');
    if (key === undefined)
      return void socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok');
    const accept = createHash('sha1').update(`${key}${GUID}`).digest('base64');
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    socket.pipe(socket);
  });
});
server.listen(0, '127.0.0.1', 4096, () => process.send?.({ port: (server.address() as AddressInfo).port }));
process.once('disconnect', () => process.exit(0));
