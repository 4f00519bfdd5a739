/**
 * From "create conversation" to the agent's first event and first action, on a warm and on a cold sandbox, with the real
 * programs on the one-machine cluster. A round does one of each, so that drift of the machine meets both alike.
 *
 *     npm run build && node dist/bench/start/run.js [rounds]
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { ask, conversationOf, finishStart, follow, running } from '../../test/support/client.js';
import { askKube } from '../../test/support/machine.js';
import { newDataFolder, removeFolder, startStack, until, type Stack } from '../../test/support/stack.js';

const POOL = '/apis/sandlot.dev/v1alpha1/namespaces/default/sandboxpools/default';
const GOAL_MS = 1000;

interface Sample {
  firstEvent: number;
  firstAction: number;
}

interface Pool {
  spec: { replicas: number };
  status?: { replicas?: number; readyReplicas?: number };
}

async function main(rounds: number): Promise<void> {
  const data = await newDataFolder();
  const stack = await startStack({ data });
  try {
    const samples: Record<'warm' | 'cold', Sample[]> = { warm: [], cold: [] };
    for (let round = 0; round < rounds; round += 1) {
      for (const kind of ['warm', 'cold'] as const) {
        await setPool(stack, kind === 'warm' ? 1 : 0);
        samples[kind].push(await measure(stack));
      }
    }
    report(samples);
  } finally {
    await stack.stop();
    await removeFolder(data);
  }
}

/** Brings the pool to `replicas` ready warm pods and lets the machine come to rest. */
async function setPool(stack: Stack, replicas: number): Promise<void> {
  await askKube(stack, POOL, {
    method: 'PATCH',
    body: { spec: { replicas } },
    headers: { 'content-type': 'application/merge-patch+json' },
  });
  await until(`a pool of ${replicas}`, async () => {
    const { status } = (await askKube<Pool>(stack, POOL)).body;
    return (status?.replicas ?? 0) === replicas && (status?.readyReplicas ?? 0) === replicas;
  });
  await sleep(1000);
}

async function measure(stack: Stack): Promise<Sample> {
  const begin = performance.now();
  const message = { role: 'user', content: [{ type: 'text', text: 'echo measured' }], run: true };
  const task = await ask<{ id: string }>(`${stack.api}/api/v1/app-conversations`, {
    method: 'POST',
    body: { initial_message: message },
  });
  const id = await finishStart(stack, task.body.id);
  const following = await follow(await running(stack, id));
  await following.first('an event', (event) => event.kind === 'SystemPromptEvent');
  const firstEvent = performance.now() - begin;
  await following.first('an action', (event) => event.kind === 'ActionEvent');
  const firstAction = performance.now() - begin;
  await following.first('its result', (event) => event.kind === 'ObservationEvent');
  following.close();
  await remove(stack, id);
  return { firstEvent, firstAction };
}

async function remove(stack: Stack, id: string): Promise<void> {
  await ask(`${stack.api}/api/v1/app-conversations/${id}`, { method: 'DELETE' });
  await until('the conversation to go', async () => (await conversationOf(stack, id)) === null);
}

function report(samples: Record<'warm' | 'cold', Sample[]>): void {
  const row = (kind: 'warm' | 'cold', part: keyof Sample) => {
    const sorted = samples[kind].map((sample) => sample[part]).sort((a, b) => a - b);
    const at = (share: number) =>
      Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN);
    console.log(`${kind.padEnd(5)} ${part.padEnd(12)} min ${at(0)} ms  median ${at(0.5)} ms  max ${at(1)} ms`);
    return at(0.5);
  };
  const warm = row('warm', 'firstEvent');
  row('warm', 'firstAction');
  const cold = row('cold', 'firstEvent');
  row('cold', 'firstAction');
  console.log(
    `warm is ${(cold / warm).toFixed(1)} times as quick as cold; goal for warm: under ${GOAL_MS} ms, ${warm < GOAL_MS ? 'met' : 'missed'}`,
  );
}

await main(Number(process.argv[2] ?? 10));
