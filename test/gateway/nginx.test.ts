/**
 * Behind a real nginx as companies have it in front: plain, stripping upgrades (HTTP/1.0 upstream, as nginx does unless told
 * otherwise), and buffering as well. Real programs behind it; what is asked is asked with curl, `ws` and undici.
 */
import { execFile, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { request } from 'undici';
import { WebSocket } from 'ws';
import { ask, converse, finished, type Conversation } from '../support/client.js';
import { freePorts, removeFolder, startStack, until, type Stack } from '../support/stack.js';

const run = promisify(execFile);
const skip = spawnSync('nginx', ['-v']).status === 0 ? false : 'no nginx here';
const APP_PORT = 4321;
/** Says one event and then nothing more: whoever holds it back holds it for ever. */
const APP = `node -e "require('http').createServer((q,s)=>{if(q.method==='POST'){let n=0;q.on('data',c=>n+=c.length).on('end',()=>s.end(String(n)));return}s.writeHead(200,{'content-type':q.url==='/events'?'text/event-stream':'text/plain'});q.url==='/events'?s.write('data: first\\n\\n'):s.end('hello')}).listen(${APP_PORT})" >/dev/null 2>&1 &`;

const FORMS = {
  plain: `proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $to_upstream; proxy_buffering off;`,
  stripping: `proxy_buffering off;`,
  buffering: `proxy_buffering on; proxy_request_buffering on; gzip on; gzip_types *;`,
};
type Form = keyof typeof FORMS;

function startNginx(home: string, ports: Record<Form, number>, gateway: number): ChildProcess {
  const servers = (Object.keys(FORMS) as Form[]).map(
    (form) =>
      `server { listen 127.0.0.1:${ports[form]}; client_max_body_size 0; location / { ${FORMS[form]} proxy_set_header Host $http_host; proxy_pass http://127.0.0.1:${gateway}; } }`,
  );
  writeFileSync(
    join(home, 'nginx.conf'),
    `daemon off; worker_processes 1; pid ${home}/pid; error_log ${home}/error.log; user root;
events { worker_connections 256; }
http { access_log off; client_body_temp_path ${home}/b; proxy_temp_path ${home}/p; fastcgi_temp_path ${home}/f; uwsgi_temp_path ${home}/u; scgi_temp_path ${home}/s;
map $http_upgrade $to_upstream { default upgrade; '' ''; }
${servers.join('\n')} }`,
  );
  return spawn('nginx', ['-c', join(home, 'nginx.conf'), '-p', home], { stdio: 'ignore' });
}

/** A stream read until `enough` of its text has come. */
async function readUntil(url: string, headers: Record<string, string>, enough: RegExp): Promise<string> {
  const { body, statusCode } = await request(url, { headers });
  if (statusCode !== 200) throw new Error(`${url}: ${statusCode} ${await body.text()}`);
  let text = '';
  for await (const chunk of body) {
    text += String(chunk);
    if (enough.test(text)) break;
  }
  body.destroy();
  return text;
}

/** `opened`, or the status that the handshake got. */
function handshake(url: string, headers: Record<string, string>): Promise<string> {
  return new Promise((resolve) => {
    const socket = new WebSocket(url, { headers });
    socket.once('open', () => {
      socket.terminate();
      resolve('opened');
    });
    socket.once('unexpected-response', (_request, response) => {
      response.destroy();
      resolve(`${response.statusCode}`);
    });
    socket.on('error', () => resolve('error'));
  });
}

/** What requests to this sandbox look like, whichever server they are sent to. */
function addressing(stack: Stack, conversation: Conversation) {
  const { hostname } = new URL(conversation.conversation_url ?? '');
  const key = { 'x-session-api-key': conversation.session_api_key ?? '' };
  return {
    agent: { host: `${hostname}:${stack.gatewayPort}`, ...key },
    app: { host: `${APP_PORT}-${hostname}:${stack.gatewayPort}`, ...key },
  };
}

t.setTimeout(120_000);
t.test('behind nginx', { skip, timeout: 120_000 }, async (t) => {
  const home = mkdtempSync(join(tmpdir(), 'sandlot-nginx-'));
  const stack = await startStack();
  const [plain, stripping, buffering] = await freePorts();
  const ports = { plain, stripping, buffering };
  const nginx = startNginx(home, ports, stack.gatewayPort);
  t.teardown(async () => {
    nginx.kill();
    await stack.stop();
    await removeFolder(stack.data);
    rmSync(home, { recursive: true, force: true });
  });
  const conversation = await converse(stack, `${APP}\necho said-$((40 + 2))`);
  await finished(stack, conversation.id);
  const { agent, app } = addressing(stack, conversation);
  await until('the app', async () => (await ask(`http://127.0.0.1:${plain}/`, { headers: app })).text === 'hello');

  for (const form of Object.keys(FORMS) as Form[])
    await t.test(form, async (t) => {
      const base = `http://127.0.0.1:${ports[form]}`;
      const curl = async (...options: string[]) =>
        (
          await run('curl', [
            '-sS',
            '-H',
            `Host: ${app.host}`,
            '-H',
            `X-Session-API-Key: ${app['x-session-api-key']}`,
            ...options,
          ])
        ).stdout;
      t.equal(await curl(`${base}/`), 'hello');
      t.match(await curl('-I', `${base}/`), /^HTTP\/1\.1 200 OK/, 'HEAD');
      const upload = join(home, 'upload');
      writeFileSync(upload, Buffer.alloc(20_000_000, 'x'));
      t.equal(await curl('--data-binary', `@${upload}`, `${base}/`), '20000000', 'an upload with its length');
      t.equal(await curl('-H', 'Transfer-Encoding: chunked', '--data-binary', `@${upload}`, `${base}/`), '20000000');
      t.match(await readUntil(`${base}/events`, app, /first/), 'data: first', 'an app’s events are not held back');
      const events = `/sockets/events/${conversation.id}`;
      t.equal(
        (await handshake(`${base.replace('http', 'ws')}${events}`, agent)) === 'opened',
        form === 'plain',
        'a WebSocket',
      );
      const accept = { ...agent, accept: 'text/event-stream' };
      const seen = await readUntil(`${base}${events}`, accept, /said-42/);
      t.match(seen, /^id: /m, 'the conversation’s events as a stream');
      const live = readUntil(`${base}${events}`, accept, new RegExp(`said-${form}-42`));
      const sent = await ask(`${base}/api/conversations/${conversation.id}/events`, {
        method: 'POST',
        headers: agent,
        body: { role: 'user', content: [{ type: 'text', text: `echo said-${form}-$((40 + 2))` }], run: true },
      });
      t.equal(sent.status, 200, sent.text);
      t.match(await live, `said-${form}-42`, 'and what comes next, while it is open');
    });
});
