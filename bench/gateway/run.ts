/**
 * Requests per second and core: Sandlot's gateway beside nginx and configurable-http-proxy, in one run on one machine.
 * Usage: node --import tsx bench/gateway/run.ts [seconds per measurement, default 4] [rounds, default 3]
 * Needs nginx and wrk. "Per core" is requests per second of CPU time of the proxy's own process, so that what load generator,
 * backend and others on the machine use does not count. Order changes each round; medians are shown.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { hostOf, keyOf, slotNamed } from '../../gateway/testing/harness.js';
import {
  startBackend,
  startConfigurableHttpProxy,
  startNginxProxy,
  startSandlot,
  temporaryFolder,
  type Running,
} from './proxies.js';

const run = promisify(execFile);
const seconds = Number(process.argv[2] ?? 4);
const rounds = Number(process.argv[3] ?? 3);
const CONNECTIONS = 64;
const TICKS_PER_SECOND = 100;

interface Sample {
  perSecond: number;
  perCore: number;
  p99Ms: number;
}

function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

async function measure(proxy: Running, slot: string): Promise<Sample> {
  const headers = ['-H', `Host: ${hostOf(slot)}`, '-H', `X-Session-API-Key: ${keyOf(slot)}`];
  const before = cpuSeconds(proxy.pid);
  const { stdout } = await run('wrk', [
    '-t1',
    `-c${CONNECTIONS}`,
    `-d${seconds}s`,
    '--latency',
    ...headers,
    `http://127.0.0.1:${proxy.port}/x`,
  ]);
  const used = cpuSeconds(proxy.pid) - before;
  const total = Number(/([0-9]+) requests in/.exec(stdout)?.[1]);
  // A proxy that refuses is fast: such a run must not count.
  if (!(total > 0) || /Non-2xx|Socket errors/.test(stdout))
    throw new Error(`${proxy.name}: not all requests succeeded\n${stdout}`);
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

const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;

async function main(): Promise<void> {
  const folder = temporaryFolder();
  const slot = slotNamed('a');
  const started: Running[] = [];
  try {
    const backend = await startBackend(folder.path);
    started.push(backend);
    const proxies = [
      await startSandlot(folder.path, backend.port, slot),
      await startNginxProxy(folder.path, backend.port),
    ];
    const chp = await startConfigurableHttpProxy(backend.port);
    if (chp !== undefined) proxies.push(chp);
    started.push(...proxies);
    const samples = new Map<string, Sample[]>(proxies.map(({ name }) => [name, []]));
    for (const proxy of proxies) await measure(proxy, slot);
    for (let round = 0; round < rounds; round++)
      for (let at = 0; at < proxies.length; at++) {
        const proxy = proxies[(at + round) % proxies.length];
        if (proxy !== undefined) samples.get(proxy.name)?.push(await measure(proxy, slot));
      }
    report(samples);
  } finally {
    for (const running of started) running.stop();
    folder.remove();
  }
}

function report(samples: Map<string, Sample[]>): void {
  const rows = [...samples].map(([name, all]) => ({
    proxy: name,
    'requests/s': Math.round(median(all.map((sample) => sample.perSecond))),
    'requests/s/core': Math.round(median(all.map((sample) => sample.perCore))),
    'p99 ms': Number(median(all.map((sample) => sample.p99Ms)).toFixed(1)),
  }));
  console.table(rows);
  const ours = rows.find((row) => row.proxy === 'sandlot')?.['requests/s/core'] ?? NaN;
  for (const row of rows)
    if (row.proxy !== 'sandlot')
      console.log(`sandlot / ${row.proxy}, per core: ${(ours / row['requests/s/core']).toFixed(2)}`);
}

await main();
