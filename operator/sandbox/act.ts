/** Carries out one action. Nothing is decided here. */
import { LABEL, MANAGER } from '../../contracts/labels.js';
import { sessionKey } from '../../contracts/keys.js';
import { workspaceClaimName } from '../../contracts/names.js';
import { SANDBOX, type Sandbox, type SandboxTemplateSpec } from '../../contracts/resources.js';
import { keyOf } from '../../kube/cache.js';
import type { KubeClient } from '../../kube/client.js';
import { isNotFound } from '../../kube/errors.js';
import type { Clock } from '../../kube/types.js';
import { agentTarget, type AgentClient } from '../agent.js';
import { adoptedOwners, buildWorkspaceClaim } from '../build/claim.js';
import { claimedLabels, type Holder } from '../build/meta.js';
import { buildPod } from '../build/pod.js';
import { buildSecret, restoredInitKeys } from '../build/secret.js';
import type { Children } from '../children.js';
import type { Claimer } from '../claim/claim.js';
import type { Installation } from '../install.js';
import { shapeOf } from '../shape.js';
import type { World } from '../world.js';
import type { Memory } from './memory.js';
import { refusalOf } from './refusal.js';
import type { PodEvents } from './podevents.js';
import type { Action, Refusal, Situation } from './situation.js';
import { placedTemplate } from '../pool/placed.js';
import type { TemplateHash } from '../pool/warm.js';

export interface ActOptions {
  client: Pick<KubeClient, 'patch' | 'delete'>;
  world: World;
  memory: Memory;
  children: Children;
  claimer: Claimer;
  agents: AgentClient;
  podEvents: PodEvents;
  installation: Installation;
  clock: Clock;
  /** Looks at a sandbox again. */
  wake(key: string): void;
  /** Aborted at the end of the term. */
  ending: AbortSignal;
  /** Hash of a template's warm pods, as the pools write it. */
  hashOf(template: SandboxTemplateSpec): TemplateHash;
}

/** Farewells under way at once; more wait their turn. */
const FAREWELLS = 256;

/** `changed`: the situation is another now; decide anew before going on. */
export type Progress = 'ok' | 'changed';

export type Act = (action: Action, situation: Situation, signal: AbortSignal) => Promise<Progress>;

/** Rejects with KubeErrors that trying again may heal; refusals of children are remembered instead. */
export function createAct(options: ActOptions): Act {
  const { client, world, memory, children, claimer, agents, installation, clock } = options;

  const guarded = async (child: Refusal['child'], s: Situation, write: () => Promise<unknown>): Promise<Progress> => {
    const key = keyOf(s.sandbox);
    try {
      await write();
      return 'ok';
    } catch (error) {
      const refusal = refusalOf(child, error);
      if (refusal === undefined) throw error;
      memory.noteRefusal(key, refusal, clock.now());
      return 'changed';
    }
  };

  const createPod = async (action: Of<'createPod'>, s: Situation, signal: AbortSignal): Promise<Progress> => {
    const holder = holderOf(s.sandbox);
    const { slot, epoch, restarts } = action;
    const shape = shapeOf(s.template ?? { image: '' }, s.sandbox.spec);
    const pod = buildPod({ holder, slot, epoch, restarts, shape, installation });
    const service = await guarded('service', s, () => children.ensureService(holder.namespace, slot, signal));
    if (service !== 'ok') return service;
    const progress = await guarded('pod', s, () => children.createPod(pod, signal));
    if (progress === 'ok') memory.clearRefusal(keyOf(s.sandbox));
    return progress;
  };

  const claim = async (action: Of<'claim'>, s: Situation, signal: AbortSignal): Promise<Progress> => {
    const key = `${s.sandbox.metadata.namespace ?? ''}/${action.pool}`;
    const pool = world.pools.get(key);
    if (pool === undefined || s.template === undefined) return 'changed';
    const pod = await claimer.claim({
      sandbox: s.sandbox,
      pool: key,
      hash: options.hashOf(placedTemplate(s.template, pool.spec)),
      epoch: s.sandbox.status?.keyEpoch ?? 1,
      signal,
    });
    if (pod !== undefined) memory.noteAgent(keyOf(s.sandbox), pod, { init: 'ready' });
    return 'changed';
  };

  const initialise = async (action: Of<'initialise'>, s: Situation, signal: AbortSignal): Promise<Progress> => {
    const result = await claimer.initialise(action.pod, action.epoch, signal);
    memory.noteAgent(keyOf(s.sandbox), action.pod, { init: result === 'ready' ? 'ready' : 'failed' });
    return 'changed';
  };

  const askIdle = async (action: Of<'askIdle'>, s: Situation, signal: AbortSignal): Promise<Progress> => {
    const target = agentTarget(action.pod);
    const slot = action.pod.metadata.labels?.[LABEL.slot] ?? '';
    const key = sessionKey(installation.secret, slot, action.epoch);
    const activeAt = target === undefined ? undefined : await agents.lastUse(target, key, signal);
    const before = s.agent.idle;
    const idle =
      activeAt === undefined
        ? { ...before, polledAt: clock.now(), failures: (before?.failures ?? 0) + 1 }
        : { polledAt: clock.now(), activeAt, failures: 0 };
    memory.noteAgent(keyOf(s.sandbox), action.pod, { idle });
    return 'changed';
  };

  const readPodEvents = async ({ pod }: Of<'readPodEvents'>, s: Situation, signal: AbortSignal): Promise<Progress> => {
    const trouble = await options.podEvents.trouble(pod, signal);
    memory.notePodEvents(keyOf(s.sandbox), pod, { readAt: clock.now(), trouble });
    return 'changed';
  };

  let farewells = 0;
  /** In the background: no worker waits for what a sandbox does with its last seconds. */
  const farewell = (action: Of<'farewell'>, s: Situation): Progress => {
    const key = keyOf(s.sandbox);
    const target = agentTarget(action.pod);
    if (farewells >= FAREWELLS) return 'ok';
    farewells += 1;
    const slot = action.pod.metadata.labels?.[LABEL.slot] ?? '';
    const session = sessionKey(installation.secret, slot, action.epoch);
    const said = target === undefined ? Promise.resolve() : agents.farewell(target, session, options.ending);
    void said.then(() => {
      farewells -= 1;
      memory.noteFarewell(key, action.pod, 'over');
      options.wake(key);
    });
    memory.noteFarewell(key, action.pod, 'asked');
    return 'ok';
  };

  const adopt = async ({ slot }: Of<'adopt'>, s: Situation, signal: AbortSignal): Promise<Progress> => {
    const holder = holderOf(s.sandbox);
    const { workspace } = shapeOf(s.template ?? { image: '' }, { ...s.sandbox.spec, resourceFactor: 1 });
    const owners = adoptedOwners(holder, workspace, s.workspace);
    const { namespace } = holder;
    const child = { name: workspaceClaimName(slot), namespace, labels: claimedLabels(holder), owners };
    await children.adopt(child, signal);
    return 'ok';
  };

  /** Only if nobody touched the sandbox since: traffic that the gateway has just noted must win. */
  const pause = async (s: Situation, signal: AbortSignal): Promise<Progress> => {
    const { metadata } = s.sandbox;
    const body = {
      metadata: { resourceVersion: metadata.resourceVersion, uid: metadata.uid },
      spec: { runState: 'Paused' },
    };
    world.sandboxes.note(
      await client.patch<Sandbox>(SANDBOX, metadata, body, { type: 'merge', fieldManager: MANAGER, signal }),
    );
    return 'changed';
  };

  const deleteSandbox = async (s: Situation, signal: AbortSignal): Promise<Progress> => {
    const { uid } = s.sandbox.metadata;
    try {
      await client.delete(SANDBOX, s.sandbox.metadata, { preconditions: uid === undefined ? {} : { uid }, signal });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    return 'ok';
  };

  return async (action, s, signal) => {
    const { namespace = '' } = s.sandbox.metadata;
    switch (action.do) {
      case 'claim':
        return claim(action, s, signal);
      case 'applySecret': {
        const { slot, epoch } = action;
        const secret = buildSecret({ holder: holderOf(s.sandbox), slot, epoch, secret: installation.secret });
        return guarded('secret', s, () => children.applySecret(secret, signal));
      }
      case 'createWorkspace': {
        const { workspace } = shapeOf(s.template ?? { image: '' }, s.sandbox.spec);
        const desired = buildWorkspaceClaim(holderOf(s.sandbox), action.slot, workspace);
        return guarded('workspace', s, () => children.createClaim(desired, signal));
      }
      case 'createPod':
        return createPod(action, s, signal);
      case 'deletePod': {
        await children.deletePod({ name: action.name, namespace, uid: action.uid }, action.force === true, signal);
        return 'ok';
      }
      case 'initialise':
        return initialise(action, s, signal);
      case 'adopt':
        return adopt(action, s, signal);
      case 'farewell':
        return farewell(action, s);
      case 'restoreInitKeys': {
        const { name, slot } = action;
        const keys = restoredInitKeys({ holder: holderOf(s.sandbox), name, slot, secret: installation.secret });
        return guarded('secret', s, () => children.mergeSecret(keys, signal));
      }
      case 'askIdle':
        return askIdle(action, s, signal);
      case 'readPodEvents':
        return readPodEvents(action, s, signal);
      case 'pause':
        return pause(s, signal);
      case 'deleteSandbox':
        return deleteSandbox(s, signal);
    }
  };
}

type Of<Do extends Action['do']> = Extract<Action, { do: Do }>;

export function holderOf(sandbox: Sandbox): Holder & { kind: 'sandbox' } {
  const { name, namespace = '', uid = '' } = sandbox.metadata;
  const { template, owner } = sandbox.spec;
  return { kind: 'sandbox', name, namespace, uid, template, owner, shard: sandbox.metadata.labels?.[LABEL.shard] };
}
