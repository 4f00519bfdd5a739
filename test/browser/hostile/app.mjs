/** An app of a sandbox: says its name, and writes down what it is asked. usage: app.mjs PORT NAME LOG */
import { appendFileSync } from 'node:fs';
import { createServer } from 'node:http';

const [port, name, log] = process.argv.slice(2);

const COOKIES = [
  'plain=1; Path=/',
  'parent=1; Domain=sandbox.localhost; Path=/',
  'top=1; Domain=localhost; Path=/',
  'other=1; domain = .sandbox.localhost ;Path=/',
  'sandlot-pass=forged; Path=/',
  '__Host-sandlot-pass=forged; Secure; Path=/',
  '__Host-own=1; Secure; Path=/',
];

const server = createServer((request, response) => {
  const path = (request.url ?? '').split('?', 1)[0];
  appendFileSync(log, `${request.method} ${path} ${request.headers.cookie ?? ''}\n`);
  if (path === '/cookies') response.setHeader('set-cookie', COOKIES);
  if (path === '/sw.js') response.setHeader('service-worker-allowed', '/');
  response.setHeader('access-control-allow-origin', request.headers.origin ?? '*');
  response.setHeader('access-control-allow-credentials', 'true');
  response.setHeader('x-frame-options', 'ALLOWALL');
  response.setHeader('content-type', path.endsWith('.js') ? 'text/javascript' : 'text/html');
  response.end(path.endsWith('.js') ? 'globalThis.ran = true;' : `<title>${name}</title><h1>app of ${name}</h1>`);
});
server.on('upgrade', (request, socket) => {
  appendFileSync(log, `UPGRADE ${request.url}\n`);
  socket.destroy();
});
server.listen(Number(port), '0.0.0.0');
