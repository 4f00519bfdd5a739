/** Pools: their fill, claims at two rates and in a burst, and what each costs in API writes. */
import { setTimeout as sleep } from 'node:timers/promises';
import { SANDBOX_POOL, SANDBOX_TEMPLATE, type SandboxPool, type SandboxTemplate } from '../../contracts/resources.js';
import { by, callsSince, of, sum, writes } from './audit.js';
import type { Lab, OperatorProcess, Usage } from './lab.js';
import type { Row } from './report.js';

export const POOL = 1_050;
const FILL_LIMIT_MS = 300_000;
/** Adoptions and the pool's status come after the claims. */
const SETTLE_MS = 5_000;

const sandbox = (template: string): string => `apiVersion: sandlot.dev/v1alpha1
kind: Sandbox
metadata:
  name: '{{name}}'
spec:
  template: ${template}
`;

export async function fillPool(lab: Lab, operator: OperatorProcess): Promise<Row[]> {
  const metadata = (name: string) => ({ namespace: 'default', name });
  await lab.client.create<SandboxTemplate>(SANDBOX_TEMPLATE, {
    metadata: metadata('bench'),
    // Nothing provisions volumes here: each claim would wait for ever, and the controller manager with it.
    spec: { image: 'sandlot/sandbox:bench', workspace: { kind: 'Ephemeral' } },
  });
  const since = new Date();
  const begin = performance.now();
  await lab.client.create<SandboxPool>(SANDBOX_POOL, {
    metadata: metadata('bench'),
    spec: { template: 'bench', replicas: POOL, refill: { perSecond: 1_000, burst: 1_000 } },
  });
  await poolFull(lab);
  const seconds = (performance.now() - begin) / 1_000;
  await sleep(SETTLE_MS);
  const calls = writes(await callsSince(lab, since));
  const own = by(calls, 'sandlot-operator');
  return [
    { what: 'pool fill', value: POOL / seconds, unit: 'pods/s', target: { limit: 80, better: 'higher' } },
    {
      what: 'operator writes per filled pod, pool status and shared Services apart',
      value: (sum(own) - of(own, 'patch', 'sandboxpools/status') - of(own, 'patch', 'services')) / POOL,
      unit: '',
      // A Secret holds the init keys of many pods.
      target: { limit: 1.02, better: 'lower' },
    },
    { what: "operator's CPU per filled pod", value: (operator.usage().cpuSeconds / POOL) * 1_000, unit: 'ms' },
    { what: 'all writes per filled pod', value: sum(calls) / POOL, unit: '' },
    { what: `RSS with ${POOL} warm pods`, value: operator.usage().rssMiB, unit: 'MiB' },
  ];
}

export async function poolFull(lab: Lab): Promise<void> {
  const end = performance.now() + FILL_LIMIT_MS;
  const ready = async (): Promise<number> =>
    (await lab.client.get<SandboxPool>(SANDBOX_POOL, { namespace: 'default', name: 'bench' })).status?.readyReplicas ??
    0;
  while ((await ready()) < POOL) {
    if (performance.now() > end) throw new Error(`the pool did not fill: ${await ready()} of ${POOL}`);
    await sleep(100);
  }
}

interface Made {
  n: number;
  ready: number;
  ready_ms: { p50: number; p99: number; max: number };
  all_ready_s: number;
  per_s: number;
}

/** Who turns sandboxes into ready ones. */
export interface Maker {
  process: Usage;
  /** Of its API calls. */
  agent: string;
  /** Resolves when its pool is full again. */
  full(): Promise<unknown>;
}

export const makerOf = (lab: Lab, operator: OperatorProcess): Maker => ({
  process: operator,
  agent: 'sandlot-operator',
  full: () => poolFull(lab),
});

export function bareMaker(lab: Lab): Maker {
  const wait = ['wait', '-r', 'pods/v1', '-n', String(POOL), '-l', 'app=bare,!sandbox'];
  return { process: lab.startBare(POOL), agent: 'bare', full: () => lab.kubebench(...wait) };
}

export interface Claims {
  what: string;
  prefix: string;
  count: number;
  /** Per second; 0: all at once. */
  rate: number;
  template?: string;
}

/** Creates sandboxes and tells how long each took to be Ready, and what the operator wrote meanwhile. */
export async function makeSandboxes(
  lab: Lab,
  { process, agent }: Maker,
  claims: Claims,
): Promise<{ made: Made; rows: Row[] }> {
  const { what, prefix, count, rate, template = 'bench' } = claims;
  const file = await lab.file(`${prefix}.yaml`, sandbox(template));
  const since = new Date();
  const cpu = cpuUsed(lab, process);
  const text = await lab.kubebench(
    ...['make', '-f', file, '-r', 'sandboxes.sandlot.dev/v1alpha1', '-prefix', prefix],
    ...['-n', String(count), '-rate', String(rate), '-timeout', '15m'],
  );
  const made = JSON.parse(text) as Made;
  if (made.ready !== count) throw new Error(`${what}: ${made.ready} of ${count} became ready`);
  await sleep(SETTLE_MS);
  const used = cpu();
  const calls = writes(await callsSince(lab, since));
  const own = by(calls, agent);
  // What fills the pool again is counted with the pool.
  const refill = of(own, 'create', 'pods') + of(own, 'patch', 'sandboxpools/status') + of(own, 'create', 'secrets');
  const warm = template === 'bench';
  return {
    made,
    rows: [
      {
        what: `${what}: own writes per sandbox${warm ? ', refill apart' : ''}`,
        value: (sum(own) - (warm ? refill : 0)) / count,
        unit: '',
        ...(warm ? { target: { limit: 3, better: 'lower' as const } } : {}),
      },
      { what: `${what}: all writes per sandbox`, value: sum(calls) / count, unit: '' },
      ...used.map(([name, seconds]) => ({
        what: `${what}: CPU per sandbox${warm ? ' with refill' : ''}, ${name}`,
        value: (seconds / count) * 1_000,
        unit: 'ms',
      })),
    ],
  };
}

/** Seconds of CPU since the call, by program. */
function cpuUsed(lab: Lab, process: Usage): () => [string, number][] {
  const programs = Object.entries({ own: process, ...lab.plane });
  const before = programs.map(([, { usage }]) => usage().cpuSeconds);
  return () => programs.map(([name, { usage }], index) => [name, usage().cpuSeconds - (before[index] ?? 0)]);
}

export async function claimAtRates(lab: Lab, maker: Maker): Promise<Row[]> {
  const claim = async (what: string, prefix: string, count: number, rate: number) => {
    const result = await makeSandboxes(lab, maker, { what, prefix, count, rate });
    await maker.full();
    return result;
  };
  const slow = await claim('5/s', 'slow', 50, 5);
  const fast = await claim('75/s', 'fast', 750, 75);
  const most = await claim('most', 'most', 1_000, 0);
  const burst = await claim('burst of 300', 'burst', 300, 0);
  const ms = (limit: number): Row['target'] => ({ limit, better: 'lower' });
  return [
    { what: 'claims at 5/s: p50', value: slow.made.ready_ms.p50, unit: 'ms', target: ms(18) },
    { what: 'claims at 5/s: p99', value: slow.made.ready_ms.p99, unit: 'ms', target: ms(50) },
    ...slow.rows,
    { what: 'claims at 75/s: p50', value: fast.made.ready_ms.p50, unit: 'ms', target: ms(80) },
    { what: 'claims at 75/s: p99', value: fast.made.ready_ms.p99, unit: 'ms', target: ms(400) },
    { what: 'claims at 75/s: held', value: fast.made.per_s, unit: '/s', target: { limit: 74, better: 'higher' } },
    ...fast.rows,
    { what: '1,000 claims at once', value: most.made.per_s, unit: '/s', target: { limit: 100, better: 'higher' } },
    ...most.rows,
    { what: 'burst of 300: all ready after', value: burst.made.all_ready_s, unit: 's', target: ms(3) },
    ...burst.rows,
  ];
}

/** The peer's figures, for the same pods and sandboxes on a control plane of its own. */
export async function measureBare(lab: Lab): Promise<Row[]> {
  const begin = performance.now();
  const maker = bareMaker(lab);
  await maker.full();
  const fill = POOL / ((performance.now() - begin) / 1_000);
  await sleep(SETTLE_MS);
  const rows = [{ what: 'pool fill', value: fill, unit: 'pods/s' }, ...(await claimAtRates(lab, maker))];
  return rows.map(({ what, value, unit }) => ({ what: `bare: ${what}`, value, unit }));
}
