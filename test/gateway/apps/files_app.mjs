/** Serves one file with ranges, and answers an upload with its digest. usage: files_app.mjs PORT FILE */
import { createHash } from 'node:crypto';
import { createReadStream, statSync } from 'node:fs';
import { createServer } from 'node:http';

const [port, file] = process.argv.slice(2);
const { size } = statSync(file);
/** Bytes that the system has taken for the last download. */
let sent = 0;

createServer((request, response) => {
  if (request.url === '/sent') return void response.end(String(sent));
  if (request.method === 'POST') {
    const hash = createHash('sha256');
    request.on('data', (chunk) => hash.update(chunk)).on('end', () => response.end(hash.digest('hex')));
    return;
  }
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  const start = Number(range?.[1] ?? 0);
  const end = range?.[2] ? Number(range[2]) : size - 1;
  response.writeHead(range ? 206 : 200, {
    'content-type': 'application/octet-stream',
    'content-length': end - start + 1,
    'accept-ranges': 'bytes',
    etag: '"one"',
    ...(range ? { 'content-range': `bytes ${start}-${end}/${size}` } : {}),
  });
  if (request.method === 'HEAD') return void response.end();
  sent = 0;
  const stream = createReadStream(file, { start, end });
  stream.on('data', (chunk) => (sent += chunk.length));
  stream.pipe(response);
  response.on('close', () => stream.destroy());
}).listen(Number(port), '0.0.0.0');
