/** A job that is done again and again, each time with an operator that dies at another point of it and is replaced. */
import { setTimeout as sleep } from 'node:timers/promises';
import type t from 'tap';
import type { Cluster } from '../../test/support/cluster.js';
import { mortal } from './mortal.js';
import { startScene, type Scene } from './scene.js';

export interface Turn {
  s: Scene;
  /** Waits for what `run` waits for, while the operator is replaced as soon as it has died. */
  step<T>(run: () => Promise<T>): Promise<T>;
}

export interface Job {
  name: string;
  options?: Parameters<typeof startScene>[2];
  /** What comes before; nothing dies of it. */
  prepare?(s: Scene): Promise<void>;
  /** Rejects when the end is not as it should be. */
  run(turn: Turn): Promise<void>;
}

type Check = Pick<typeof t, 'pass' | 'fail' | 'comment'>;

const LIVES = 60;
const AT_ONCE = 4;

/** Dies after each of the writes that the job takes in turn, a few turns at once. The job that no death disturbed is the last. */
export async function dieAfterEachWrite(t: Check, cluster: Cluster, job: Job): Promise<void> {
  for (let lifetime = 1; lifetime < LIVES; lifetime += AT_ONCE) {
    const turns = Array.from({ length: AT_ONCE }, (_, index) => dieAfter(t, cluster, job, lifetime + index));
    if (!(await Promise.all(turns)).every(Boolean)) return;
  }
  t.fail(`${job.name}: more than ${LIVES} writes`);
}

/** False when the operator lived to the end of the job. */
async function dieAfter(t: Check, cluster: Cluster, job: Job, lifetime: number): Promise<boolean> {
  const death = mortal(cluster.client, job.prepare === undefined ? lifetime : Infinity);
  const s = await startScene(cluster, death.client, job.options);
  const point = () => `${job.name}, write ${lifetime} (${death.writes()[lifetime - 1] ?? 'never done'})`;
  try {
    await job.prepare?.(s);
    if (job.prepare !== undefined) death.dieAfter(lifetime);
    await job.run(turnOf(s, death.died));
    if (death.died()) t.pass(`survived its death: ${point()}`);
    else t.comment(`${job.name}: ${death.writes().length} writes: ${death.writes().join(', ')}`);
    return death.died();
  } catch (error) {
    throw new Error(`died: ${point()}`, { cause: error });
  } finally {
    await s.close();
  }
}

/** One that dies when the scene's agent servers have heard that many last words. */
export async function dieInFarewell(t: Check, cluster: Cluster, job: Job, words: number): Promise<void> {
  const death = mortal(cluster.client, Infinity);
  const s = await startScene(cluster, death.client, job.options);
  s.agents.said = (count) => {
    if (count === words) death.dieAfter(0);
  };
  try {
    await job.prepare?.(s);
    await job.run(turnOf(s, death.died));
    if (death.died()) t.pass(`survived its death: ${job.name}, at last word ${words}`);
    else t.fail(`${job.name}: fewer than ${words} last words`);
  } finally {
    await s.close();
  }
}

function turnOf(s: Scene, died: () => boolean): Turn {
  let replaced: Promise<void> | undefined;
  return {
    s,
    async step(run) {
      const watching = new AbortController();
      const watchman = (async () => {
        while (!watching.signal.aborted) {
          if (died()) await (replaced ??= s.restart());
          await sleep(10);
        }
      })();
      return await run().finally(async () => {
        watching.abort();
        await watchman;
      });
    },
  };
}
