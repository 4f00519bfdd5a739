/** From SIGTERM of the leader to the standby leading. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lab, OperatorProcess } from './lab.js';
import type { Row } from './report.js';

const LEADS = 'leader_election_master_status{name="sandlot-operator"}';
const LIMIT_MS = 30_000;

export async function measureHandover(
  lab: Lab,
  first: OperatorProcess,
  rounds: number,
): Promise<{ operator: OperatorProcess; rows: Row[] }> {
  let leader = first;
  const took: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const standby = await lab.startOperator();
    while (!(await standby.ready())) await sleep(50);
    // Somewhere in its period of looking at the Lease.
    await sleep(1_000 + Math.random() * 2_000);
    const begin = performance.now();
    const stopped = leader.stop();
    while ((await standby.metrics()).get(LEADS) !== 1) {
      if (performance.now() - begin > LIMIT_MS) throw new Error('the standby does not take over');
      await sleep(10);
    }
    took.push((performance.now() - begin) / 1_000);
    await stopped;
    leader = standby;
  }
  return {
    operator: leader,
    rows: [
      {
        what: `hand-over on SIGTERM, worst of ${rounds}`,
        value: Math.max(...took),
        unit: 's',
        target: { limit: 2, better: 'lower' },
      },
    ],
  };
}
