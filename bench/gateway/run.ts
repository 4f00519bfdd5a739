/**
 * Requests per second and core, p99, and the throughput of 1 MB bodies: Sandlot's gateway beside nginx, haproxy,
 * configurable-http-proxy and http-proxy, in one run on one machine.
 * Usage: node dist/bench/gateway/run.js [seconds per measurement, default 4] [rounds, default 3]
 * Needs nginx, haproxy and wrk. "Per core" is by CPU time of the proxy's own process, so that what load generator, backend and
 * others on the machine use does not count. Order changes each round; medians are shown.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { hostOf, keyOf, slotNamed } from '../../gateway/testing/harness.js';
import { cpuSeconds, median } from './machine.js';
import { startBackend, startProxies, temporaryFolder, type Running } from './proxies.js';

const run = promisify(execFile);
const seconds = Number(process.argv[2] ?? 4);
const rounds = Number(process.argv[3] ?? 3);
const SLOT = slotNamed('a');
const MEGABYTE = 1024 * 1024;
const TARGETS = { nginx: 0.35, 'configurable-http-proxy': 8 };
const TARGET_P99_MS = 8;

/** What is asked for, and by how many connections. */
const WORK = {
  small: { path: '/x', connections: 64 },
  big: { path: '/mb/1', connections: 8 },
};
type Work = keyof typeof WORK;

interface Sample {
  perSecond: number;
  perCore: number;
  p99Ms: number;
}

async function measure(proxy: Running, work: Work): Promise<Sample> {
  const { path, connections } = WORK[work];
  const headers = ['-H', `Host: ${hostOf(SLOT)}`, '-H', `X-Session-API-Key: ${keyOf(SLOT)}`];
  const before = cpuSeconds(proxy.pid);
  const { stdout } = await run('wrk', [
    '-t1',
    `-c${connections}`,
    `-d${seconds}s`,
    '--latency',
    ...headers,
    `http://127.0.0.1:${proxy.port}${path}`,
  ]);
  const used = cpuSeconds(proxy.pid) - before;
  const total = Number(/([0-9]+) requests in/.exec(stdout)?.[1]);
  // A proxy that refuses is fast: such a run must not count.
  if (!(total > 0) || /Non-2xx|Socket errors/.test(stdout))
    throw new Error(`${proxy.name}, ${path}: not all requests succeeded\n${stdout}`);
  return {
    perSecond: Number(/Requests\/sec: +([0-9.]+)/.exec(stdout)?.[1]),
    perCore: total / used,
    p99Ms: milliseconds(/99% +([0-9.]+)(us|ms|s)/.exec(stdout)),
  };
}

function milliseconds(match: RegExpExecArray | null): number {
  const factor = { us: 0.001, ms: 1, s: 1000 }[match?.[2] ?? ''] ?? NaN;
  return Number(match?.[1]) * factor;
}

type Samples = Map<string, Record<Work, Sample[]>>;

async function measureAll(proxies: Running[]): Promise<Samples> {
  const samples: Samples = new Map(proxies.map(({ name }) => [name, { small: [], big: [] }]));
  for (const proxy of proxies) await measure(proxy, 'small');
  for (let round = 0; round < rounds; round++)
    for (let at = 0; at < proxies.length; at++) {
      const proxy = proxies[(at + round) % proxies.length];
      if (proxy === undefined) continue;
      samples.get(proxy.name)?.small.push(await measure(proxy, 'small'));
      samples.get(proxy.name)?.big.push(await measure(proxy, 'big'));
    }
  return samples;
}

function report(samples: Samples): void {
  const of = (all: Sample[], key: keyof Sample) => median(all.map((sample) => sample[key]));
  const rows = [...samples].map(([proxy, { small, big }]) => ({
    proxy,
    'requests/s': Math.round(of(small, 'perSecond')),
    'p99 ms': Number(of(small, 'p99Ms').toFixed(1)),
    'requests/s/core': Math.round(of(small, 'perCore')),
    '1 MB bodies: MB/s': Math.round((of(big, 'perSecond') * MEGABYTE) / 1e6),
    'MB/s/core': Math.round((of(big, 'perCore') * MEGABYTE) / 1e6),
  }));
  console.table(rows);
  const ours = rows.find((row) => row.proxy === 'sandlot');
  for (const row of rows) {
    if (ours === undefined || row === ours) continue;
    const target = TARGETS[row.proxy as keyof typeof TARGETS];
    const ratio = (ours['requests/s/core'] / row['requests/s/core']).toFixed(2);
    console.log(
      `sandlot / ${row.proxy}, requests per core: ${ratio}${target === undefined ? '' : ` (target ${target})`}`,
    );
  }
  console.log(`sandlot, p99: ${ours?.['p99 ms'] ?? '?'} ms (target ${TARGET_P99_MS} ms)`);
}

async function main(): Promise<void> {
  const folder = temporaryFolder();
  const started: Running[] = [];
  try {
    mkdirSync(join(folder.path, 'mb'));
    writeFileSync(join(folder.path, 'mb', '1'), Buffer.alloc(MEGABYTE, 'x'));
    const backend = await startBackend(folder.path);
    started.push(backend);
    const proxies = await startProxies(folder.path, backend.port, SLOT);
    started.push(...proxies);
    report(await measureAll(proxies));
  } finally {
    for (const running of started) running.stop();
    folder.remove();
  }
}

await main();
