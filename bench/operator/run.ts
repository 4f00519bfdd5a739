/**
 * The operator on a real control plane with simulated kubelets (test/kube), each figure beside its target.
 *
 *     npm run build && node dist/bench/operator/run.js [bare] [claims] [cold] [handover] [stored] [--sizes=3000,10000,20000]
 *
 * Without names all parts run. Needs root (a network namespace, in which pod addresses are local) and the binaries that
 * test/kube/build makes. The API server, etcd and kubelets share the machine with the operator.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { claimAtRates, fillPool, makerOf, measureBare } from './claims.js';
import { measureHandover } from './handover.js';
import { startLab, type Lab } from './lab.js';
import { table, type Row } from './report.js';
import { makeCold, measureStored } from './stored.js';

const INSIDE = 'SANDLOT_BENCH_INSIDE';
const PARTS = ['bare', 'claims', 'cold', 'handover', 'stored'];
const COLD = 1_000;

/** Runs this program again inside a network namespace where the pods' addresses are the machine's own. */
async function runInside(args: string[]): Promise<number> {
  const name = `sandlot-bench-${process.pid}`;
  const ip = (...command: string[]): void => {
    const { status, stderr } = spawnSync('ip', command, { encoding: 'utf8' });
    if (status !== 0) throw new Error(`ip ${command.join(' ')}: ${stderr.trim()}`);
  };
  ip('netns', 'add', name);
  try {
    ip('-n', name, 'link', 'set', 'lo', 'up');
    ip('-n', name, 'route', 'add', 'local', '10.99.0.0/16', 'dev', 'lo');
    const again = [`--net=/run/netns/${name}`, process.execPath, ...process.execArgv, fileURLToPath(import.meta.url)];
    const child = spawn('nsenter', [...again, ...args], { stdio: 'inherit', env: { ...process.env, [INSIDE]: '1' } });
    const forward = (): void => void child.kill('SIGTERM');
    process.once('SIGINT', forward).once('SIGTERM', forward);
    const [code] = (await once(child, 'exit')) as [number | null];
    return code ?? 1;
  } finally {
    ip('netns', 'del', name);
  }
}

async function measure(lab: Lab, parts: Set<string>, sizes: number[]): Promise<void> {
  const rows: Row[] = [];
  const note = (more: Row[]): void => {
    rows.push(...more);
    console.log(table(more));
  };
  let operator = await lab.startOperator();
  if (parts.has('claims')) {
    note(await fillPool(lab, operator));
    note(await claimAtRates(lab, makerOf(lab, operator)));
  }
  if (parts.has('cold') || parts.has('stored')) note(await makeCold(lab, operator, COLD));
  if (parts.has('handover')) {
    const result = await measureHandover(lab, operator, 5);
    operator = result.operator;
    note(result.rows);
  }
  let there = COLD + (parts.has('claims') ? 2_100 : 0);
  for (const total of parts.has('stored') ? sizes : []) {
    const result = await measureStored(lab, operator, { there, total });
    operator = result.operator;
    there = Math.max(there, total);
    note(result.rows);
  }
  await operator.stop();
  console.log(`\n${table(rows)}`);
}

/** Each on a control plane of its own. */
async function inLab(work: (lab: Lab) => Promise<void>): Promise<void> {
  const lab = await startLab();
  const stop = (): void => void lab.close().finally(() => process.exit(1));
  process.once('SIGINT', stop).once('SIGTERM', stop);
  try {
    await work(lab);
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop);
    await lab.close();
  }
}

async function main(args: string[]): Promise<void> {
  const named = args.filter((arg) => PARTS.includes(arg));
  const sizes = args.find((arg) => arg.startsWith('--sizes='))?.slice('--sizes='.length) ?? '3000,10000,20000';
  const parts = new Set(named.length === 0 ? PARTS : named);
  if (parts.delete('bare')) await inLab(async (lab) => console.log(table(await measureBare(lab))));
  if (parts.size > 0) await inLab((lab) => measure(lab, parts, sizes.split(',').map(Number)));
}

const args = process.argv.slice(2);
if (process.env[INSIDE] === undefined) process.exitCode = await runInside(args);
else await main(args);
