/** One Sandbox: observe → decide → act, until nothing is left to do now. */
import { isDeepStrictEqual } from 'node:util';
import { LABEL, MANAGER } from '../../contracts/labels.js';
import { SANDBOX, type Sandbox, type SandboxStatus } from '../../contracts/resources.js';
import type { KubeClient } from '../../kube/client.js';
import type { Reconcile } from '../../kube/controller.js';
import type { EventRecorder } from '../../kube/events.js';
import { done, retry } from '../../kube/outcome.js';
import { createStatusWriter } from '../../kube/status.js';
import type { Clock } from '../../kube/types.js';
import type { Places } from '../limits/places.js';
import { newShard, type Shard } from '../shard.js';
import type { World } from '../world.js';
import type { Act } from './act.js';
import { decide } from './decide.js';
import type { Memory } from './memory.js';
import type { Action, Decision, Situation } from './situation.js';

export interface SandboxReconcilerOptions {
  client: Pick<KubeClient, 'get' | 'patch'>;
  world: Pick<World, 'sandboxes'>;
  memory: Memory;
  act: Act;
  /** Takes a place under the limits, where the sandbox needs one. */
  observe(sandbox: Sandbox, now: number): Situation;
  places: Pick<Places, 'settle' | 'forget'>;
  clock: Clock;
  events: Pick<EventRecorder, 'record'>;
  /** A sandbox became ready for the first time since its start or resume. */
  started?(sandbox: Sandbox): void;
  /** A pool (`namespace/name`) had no pod for a sandbox that went on without. */
  missed?(pool: string): void;
  shard: Shard;
}

/** A start takes five rounds at most: slot, refusals of its children, and a lost race or two. */
const ROUNDS = 12;

/** Somebody changed the sandbox under the decision. */
class Stale extends Error {}

export function createSandboxReconciler(options: SandboxReconcilerOptions): Reconcile {
  const { client, world, memory, act, observe, places, clock, events } = options;
  const writer = createStatusWriter<Sandbox, SandboxStatus>({ client, kind: SANDBOX, fieldManager: MANAGER });

  /** False when the decision rests on a sandbox that is no more. */
  const save = async (sandbox: Sandbox, { status, reports, missed }: Decision): Promise<boolean> => {
    try {
      const written = await writer.write(sandbox, (latest) => {
        const same =
          latest.metadata.generation === sandbox.metadata.generation &&
          latest.metadata.deletionTimestamp === sandbox.metadata.deletionTimestamp &&
          isDeepStrictEqual(latest.status, sandbox.status);
        if (same) return status;
        world.sandboxes.note(latest);
        throw new Stale();
      });
      if (written === undefined) world.sandboxes.noteGone(sandbox);
      else {
        world.sandboxes.note(written);
        if (sandbox.status?.startedAt === undefined && written.status?.startedAt !== undefined)
          options.started?.(written);
      }
    } catch (error) {
      if (error instanceof Stale) return false;
      throw error;
    }
    for (const report of reports) events.record(SANDBOX, sandbox, report);
    if (missed !== undefined) options.missed?.(`${sandbox.metadata.namespace ?? ''}/${missed}`);
    return true;
  };

  /** Gives a new sandbox to the operator that it belongs to. Only if nobody touched it since: it must have no slot. */
  const handOver = async (sandbox: Sandbox, shard: string, signal: AbortSignal): Promise<void> => {
    const { metadata } = sandbox;
    const { resourceVersion, uid } = metadata;
    const body = { metadata: { resourceVersion, uid, labels: { [LABEL.shard]: shard } } };
    await client.patch(SANDBOX, metadata, body, { type: 'merge', fieldManager: MANAGER, signal });
    // The watch tells whether it is still ours.
    world.sandboxes.noteGone(sandbox);
  };

  /** False as soon as an action changed the situation. */
  const actAll = async (actions: Action[], situation: Situation, signal: AbortSignal): Promise<boolean> => {
    for (const action of actions) {
      signal.throwIfAborted();
      if ((await act(action, situation, signal)) === 'changed') return false;
    }
    return true;
  };

  return async (key, signal) => {
    for (let round = 0; round < ROUNDS; round++) {
      signal.throwIfAborted();
      const sandbox = world.sandboxes.get(key);
      if (sandbox === undefined) {
        memory.forget(key);
        places.forget(key);
        return done;
      }
      const shard = newShard(sandbox, options.shard);
      if (shard !== undefined) {
        await handOver(sandbox, shard, signal);
        return done;
      }
      const situation = observe(sandbox, clock.now());
      const decision = decide(situation);
      if (decision.first === 'status') {
        await save(sandbox, decision);
        continue;
      }
      if (!(await actAll(decision.actions, situation, signal))) continue;
      if (!(await save(sandbox, decision))) continue;
      places.settle(key);
      return decision.ending;
    }
    return retry(new Error('the sandbox did not settle'));
  };
}
