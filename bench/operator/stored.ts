/** Many sandboxes stored: memory, reconcile time, restart, and what the operator does when nothing happens. */
import { setTimeout as sleep } from 'node:timers/promises';
import { SANDBOX_TEMPLATE, type SandboxTemplate } from '../../contracts/resources.js';
import { by, callsSince, sum } from './audit.js';
import { makerOf, makeSandboxes } from './claims.js';
import type { Lab, OperatorProcess } from './lab.js';
import { quantileBetween } from './metrics.js';
import type { Row } from './report.js';

const REST_MS = 10_000;
const STEADY_MS = 60_000;
const READY_LIMIT_MS = 120_000;
/** Creates per second: the API server's pace, not the operator's, on a small machine. */
const RATE = 75;
const QUEUED = 'workqueue_depth{name="sandbox",controller="sandbox",priority="0"}';
const RECONCILE = { name: 'controller_runtime_reconcile_time_seconds', labels: 'controller="sandbox"' };

/** Cold sandboxes, each with pod, Secret and workspace claim. */
export async function makeCold(lab: Lab, operator: OperatorProcess, count: number): Promise<Row[]> {
  const template: SandboxTemplate = {
    metadata: { namespace: 'default', name: 'cold' },
    spec: { image: 'sandlot/sandbox:bench' },
  };
  await lab.client.create(SANDBOX_TEMPLATE, template);
  const what = `${count} cold at once`;
  const { made, rows } = await makeSandboxes(lab, makerOf(lab, operator), {
    what,
    prefix: 'cold',
    count,
    rate: 0,
    template: 'cold',
  });
  return [
    { what: `${what}: all ready after`, value: made.all_ready_s, unit: 's' },
    { what: `${what}: per second`, value: made.per_s, unit: '/s' },
    ...rows,
  ];
}

/** Brings the number of sandboxes to `total`, `there` exist; measures; answers the operator that runs at the end. */
export async function measureStored(
  lab: Lab,
  first: OperatorProcess,
  { there, total }: { there: number; total: number },
): Promise<{ operator: OperatorProcess; rows: Row[] }> {
  const limit = total <= 3_000 ? 200 : total >= 20_000 ? 1_024 : undefined;
  if (total > there)
    await makeSandboxes(lab, makerOf(lab, first), {
      what: `${total} stored`,
      prefix: `stored${total}`,
      count: total - there,
      rate: RATE,
      template: 'cold',
    });
  await first.stop();
  const begin = performance.now();
  const operator = await lab.startOperator();
  const until = async (what: string, check: () => Promise<boolean>): Promise<number> => {
    while (!(await check().catch(() => false))) {
      if (performance.now() - begin > READY_LIMIT_MS) throw new Error(`waited too long for ${what}`);
      await sleep(50);
    }
    return (performance.now() - begin) / 1_000;
  };
  const readyAfter = await until('a ready operator', () => operator.ready());
  // Adds of the start itself, and nothing left of them.
  const settledAfter = await until('all reconciles', async () => {
    const metrics = await operator.metrics();
    const done = [...metrics].filter(([key]) =>
      key.startsWith('controller_runtime_reconcile_total{controller="sandbox"'),
    );
    return done.reduce((all, [, count]) => all + count, 0) >= total && metrics.get(QUEUED) === 0;
  });
  const restarted = await operator.metrics();
  await sleep(REST_MS);
  const since = new Date();
  const before = operator.usage();
  await sleep(STEADY_MS);
  const after = operator.usage();
  const own = by(await callsSince(lab, since), 'sandlot-operator');
  const what = `${total} sandboxes:`;
  return {
    operator,
    rows: [
      {
        what: `${what} RSS`,
        value: after.rssMiB,
        unit: 'MiB',
        ...(limit === undefined ? {} : { target: { limit, better: 'lower' as const } }),
      },
      {
        what: `${what} reconcile p99`,
        value: quantileBetween(new Map(), restarted, RECONCILE, 0.99) * 1_000,
        unit: 'ms',
        target: { limit: 10, better: 'lower' },
      },
      { what: `${what} restart to ready`, value: readyAfter, unit: 's' },
      { what: `${what} restart to all reconciled`, value: settledAfter, unit: 's' },
      {
        what: `${what} CPU in steady state`,
        value: ((after.cpuSeconds - before.cpuSeconds) / (STEADY_MS / 1_000)) * 100,
        unit: '% of a core',
      },
      {
        what: `${what} lists in a minute of steady state`,
        value: sum(own.filter(({ verb }) => verb === 'list')),
        unit: '',
        target: { limit: 0, better: 'lower' },
      },
    ],
  };
}
