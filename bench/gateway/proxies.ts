/** The proxies that are compared, each one process on one core. */
import { execFile, fork, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { mostCarried } from './machine.js';

export interface Running {
  name: string;
  port: number;
  /** Whose CPU time counts. */
  pid: number;
  stop(): void;
}

const run = promisify(execFile);

export function temporaryFolder(): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'sandlot-bench-'));
  // nginx's workers are another user.
  chmodSync(path, 0o755);
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function until(what: string, check: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    if (await check()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${what} did not come up in 10 s`);
}

const answers = (port: number) => async () => {
  try {
    await fetch(`http://127.0.0.1:${port}/`);
    return true;
  } catch {
    return false;
  }
};

async function startNginx(folder: string, name: string, server: (port: number) => string): Promise<Running> {
  const port = await freePort();
  const home = join(folder, name);
  mkdirSync(home);
  const file = join(home, 'nginx.conf');
  writeFileSync(
    file,
    `daemon off; worker_processes 1; pid ${home}/pid; error_log ${home}/error.log;
events { worker_connections 25000; }
http { access_log ${home}/access.log; keepalive_requests 10000000; client_body_temp_path ${home}/body;
  proxy_temp_path ${home}/proxy; fastcgi_temp_path ${home}/f; uwsgi_temp_path ${home}/u; scgi_temp_path ${home}/s;
${server(port)} }`,
  );
  const child = spawn('nginx', ['-c', file, '-p', home], { stdio: 'ignore' });
  await until(name, answers(port));
  const worker = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim();
  return { name, port, pid: Number(worker), stop: () => child.kill() };
}

/** Answers everything with 11 bytes; not counted. */
export const startBackend = (folder: string): Promise<Running> =>
  startNginx(
    folder,
    'backend',
    (port) =>
      `access_log off; server { listen 127.0.0.1:${port}; location / { return 200 "hello world"; } location /mb { root ${folder}; } }`,
  );

export const startNginxProxy = (folder: string, backend: number): Promise<Running> =>
  startNginx(
    folder,
    'nginx',
    (port) => `upstream b { server 127.0.0.1:${backend}; keepalive 64; keepalive_requests 10000000; }
  server { listen 127.0.0.1:${port}; proxy_http_version 1.1; proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $remote_addr; proxy_buffering off; proxy_read_timeout 1h;
    location / { proxy_pass http://b; proxy_set_header Connection ""; }
    location /ws { proxy_pass http://b; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; } }`,
  );

export async function startSandlot(folder: string, backend: number, slot: string): Promise<Running> {
  const own = import.meta.url.endsWith('.ts');
  const child = fork(
    new URL(`./serve.${own ? 'ts' : 'js'}`, import.meta.url),
    [slot, String(backend), join(folder, 'sandlot.log')],
    {
      execArgv: own ? ['--import', import.meta.resolve('tsx')] : [],
    },
  );
  const { port } = await new Promise<{ port: number }>((resolve, reject) => {
    child.once('message', (message) => resolve(message as { port: number }));
    child.once('exit', (code) => reject(new Error(`the gateway ended with ${code}`)));
  });
  return { name: 'sandlot', port, pid: child.pid ?? 0, stop: () => child.kill() };
}

/** One process, one thread, and connections enough for 10,000 WebSockets. */
export async function startHaproxy(folder: string, backend: number): Promise<Running> {
  const port = await freePort();
  const file = join(folder, 'haproxy.cfg');
  writeFileSync(
    file,
    `global
  maxconn ${mostCarried(25_000)}
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 10m
  timeout server 10m
  timeout tunnel 1h
  http-reuse always
frontend f
  bind 127.0.0.1:${port}
  option forwardfor
  default_backend b
backend b
  server s 127.0.0.1:${backend}
`,
  );
  const child = spawn('haproxy', ['-db', '-f', file], { stdio: 'ignore' });
  await until('haproxy', answers(port));
  return { name: 'haproxy', port, pid: child.pid ?? 0, stop: () => child.kill() };
}

const CHP = { name: 'configurable-http-proxy', version: '5.3.0' };
const HTTP_PROXY = { name: 'http-proxy', version: '1.18.1' };

/** A package of npm, installed once below the cache folder. Returns where it is. */
async function installed({ name, version }: { name: string; version: string }): Promise<string> {
  const home = join(homedir(), '.cache', 'sandlot-bench', `${name}-${version}`);
  const place = join(home, 'node_modules', name);
  if (!existsSync(place)) {
    mkdirSync(home, { recursive: true });
    writeFileSync(join(home, 'package.json'), '{"private":true}');
    await run('npm', ['install', '--no-audit', '--no-fund', `${name}@${version}`], { cwd: home });
  }
  return place;
}

export async function startConfigurableHttpProxy(backend: number): Promise<Running> {
  const program = join(await installed(CHP), 'bin', 'configurable-http-proxy');
  const [port, api] = [await freePort(), await freePort()];
  const options = ['--ip', '127.0.0.1', '--port', String(port), '--api-ip', '127.0.0.1', '--api-port', String(api)];
  const target = ['--default-target', `http://127.0.0.1:${backend}`, '--no-include-prefix', '--log-level', 'error'];
  const env = { ...process.env, CONFIGPROXY_AUTH_TOKEN: 'bench' };
  const child = spawn(process.execPath, [program, ...options, ...target], { stdio: 'ignore', env });
  await until('configurable-http-proxy', answers(port));
  return { name: CHP.name, port, pid: child.pid ?? 0, stop: () => child.kill() };
}

/** http-proxy as its documentation starts it, with a keep-alive agent, without which it would dial for each request. */
export async function startHttpProxy(backend: number): Promise<Running> {
  const place = await installed(HTTP_PROXY);
  const port = await freePort();
  const program = `const http = require('http');
const agent = new http.Agent({ keepAlive: true });
const proxy = require(${JSON.stringify(place)}).createProxyServer({ target: 'http://127.0.0.1:${backend}', agent, ws: true });
proxy.on('error', () => undefined);
proxy.listen(${port}, '127.0.0.1');`;
  const child = spawn(process.execPath, ['-e', program], { stdio: 'ignore' });
  await until('http-proxy', answers(port));
  return { name: HTTP_PROXY.name, port, pid: child.pid ?? 0, stop: () => child.kill() };
}

/** All of them in front of `backend`. */
export async function startProxies(folder: string, backend: number, slot: string): Promise<Running[]> {
  const started: Running[] = [];
  try {
    started.push(await startSandlot(folder, backend, slot));
    started.push(await startNginxProxy(folder, backend));
    started.push(await startHaproxy(folder, backend));
    started.push(await startConfigurableHttpProxy(backend));
    started.push(await startHttpProxy(backend));
    return started;
  } catch (error) {
    for (const running of started) running.stop();
    throw error;
  }
}
