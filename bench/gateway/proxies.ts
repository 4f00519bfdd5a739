/** The proxies that are compared, each one process on one core. */
import { execFile, fork, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

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
events { worker_connections 4096; }
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
  server { listen 127.0.0.1:${port}; location / { proxy_pass http://b; proxy_http_version 1.1;
    proxy_set_header Connection ""; proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr; proxy_buffering off; } }`,
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

const CHP = 'configurable-http-proxy@5.3.0';

/** Installed once below the cache folder; undefined when that is not possible. */
export async function startConfigurableHttpProxy(backend: number): Promise<Running | undefined> {
  const home = join(homedir(), '.cache', 'sandlot-bench', 'chp');
  const program = join(home, 'node_modules', 'configurable-http-proxy', 'bin', 'configurable-http-proxy');
  if (!existsSync(program)) {
    mkdirSync(home, { recursive: true });
    writeFileSync(join(home, 'package.json'), '{"private":true}');
    await run('npm', ['install', '--no-audit', '--no-fund', CHP], { cwd: home });
  }
  const [port, api] = [await freePort(), await freePort()];
  const child: ChildProcess = spawn(
    process.execPath,
    [
      program,
      '--ip',
      '127.0.0.1',
      '--port',
      String(port),
      '--api-ip',
      '127.0.0.1',
      '--api-port',
      String(api),
      '--default-target',
      `http://127.0.0.1:${backend}`,
      '--no-include-prefix',
      '--log-level',
      'error',
    ],
    { stdio: 'ignore', env: { ...process.env, CONFIGPROXY_AUTH_TOKEN: 'bench' } },
  );
  await until('configurable-http-proxy', answers(port));
  return { name: 'configurable-http-proxy', port, pid: child.pid ?? 0, stop: () => child.kill() };
}
