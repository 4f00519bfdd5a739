/** A real PostgreSQL server for suites, with a data folder and a port of its own; it can be killed and started again. */
import { execFile } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePorts } from './stack.js';

const run = promisify(execFile);
const DEBIAN = '/usr/lib/postgresql';
const USER = 'sandlot';

export interface Postgres {
  /** Of an empty database of its own. */
  newDatabase(): Promise<string>;
  /** Every process of the server ends at once, as by a power cut; what was not committed is gone. */
  kill(): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Folder of initdb and pg_ctl; undefined on a machine without PostgreSQL. */
export function postgresPrograms(): string | undefined {
  const versions = existsSync(DEBIAN) ? readdirSync(DEBIAN).sort((a, b) => Number(b) - Number(a)) : [];
  return versions.map((version) => join(DEBIAN, version, 'bin')).find((bin) => existsSync(join(bin, 'pg_ctl')));
}

/** `settings`: of postgresql.conf, as `name=value`. */
export async function startPostgres(programs: string, settings: string[] = []): Promise<Postgres> {
  const folder = mkdtempSync(join(tmpdir(), 'sandlot-postgres-'));
  const data = join(folder, 'data');
  const [port] = await freePorts();
  // The server refuses to run as root.
  const asRoot = process.getuid?.() === 0;
  if (asRoot) {
    const { stdout } = await run('id', ['-u', 'postgres']);
    chownSync(folder, Number(stdout), 0);
    chmodSync(folder, 0o755);
  }
  const call = (program: string, args: string[]) => {
    const path = join(programs, program);
    const [file, all] = asRoot ? ['runuser', ['-u', 'postgres', '--', path, ...args]] : [path, args];
    return run(file, all, { cwd: folder });
  };
  const options = [`port=${port}`, 'listen_addresses=127.0.0.1', `unix_socket_directories=${folder}`, ...settings];
  const control = (...args: string[]) => call('pg_ctl', ['-D', data, '-w', '-l', join(folder, 'log'), ...args]);
  const url = (database: string) => `postgresql://${USER}@127.0.0.1:${port}/${database}`;
  const start = async () => void (await control('-o', options.map((one) => `-c ${one}`).join(' '), 'start'));
  await call('initdb', ['-D', data, '-A', 'trust', '-U', USER]);
  await start();
  let databases = 0;
  return {
    async newDatabase() {
      databases += 1;
      const name = `test${databases}`;
      await call('psql', ['-q', '-d', url('postgres'), '-c', `CREATE DATABASE ${name}`]);
      return url(name);
    },
    kill: async () => void (await control('-m', 'immediate', 'stop')),
    start,
    async stop() {
      await control('-m', 'immediate', 'stop').catch(() => undefined);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
