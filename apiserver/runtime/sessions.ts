/** What a caller of the Runtime API does with its sessions, as writes to Sandboxes. Each is safe to repeat. */
import { ANNOTATION } from '../../contracts/labels.js';
import type { Sandbox, SandboxSpec } from '../../contracts/resources.js';
import type { Deps } from '../deps.js';
import { ApiError } from '../http/errors.js';
import { keyOf, limitOf, slotOf, statusOf } from '../sandboxes/status.js';
import { sandboxNameOf } from './request.js';
import { sessionOf } from './view.js';

type Needs = Pick<Deps, 'directory' | 'control'>;

/** Clients give up after 15 s; until then the answer must hold the key, which they read once and remember. */
const KEY_WAIT_MS = 12_000;
const GONE_WAIT_MS = 10_000;
const PAUSE_WAIT_MS = 10_000;
/** A deletion that was accepted comes back by the watch. */
const SEEN_WAIT_MS = 2_000;

export function findSession({ directory }: Needs, owner: string, session: string): Sandbox | undefined {
  const sandbox = directory.get(sandboxNameOf(owner, session));
  return sandbox === undefined || statusOf(sandbox) === 'MISSING' ? undefined : sandbox;
}

export function sessionsOf({ directory }: Needs, owner: string): Sandbox[] {
  return directory
    .ownedBy(owner)
    .filter((sandbox) => sessionOf(sandbox) !== undefined && statusOf(sandbox) !== 'MISSING');
}

/** By slot, or by the Sandbox's name while there is no slot. Throws 404. */
export function findRuntime(needs: Needs, owner: string, id: string): Sandbox {
  const found = sessionsOf(needs, owner).find((sandbox) => slotOf(sandbox) === id || sandbox.metadata.name === id);
  if (found === undefined) throw new ApiError('no_runtime');
  return found;
}

/** Makes the session, wakes it, or finds it as it is: the same call again never makes a second one. */
export async function startSession(
  needs: Needs,
  wanted: { owner: string; session: string; spec: Omit<SandboxSpec, 'owner' | 'runState'> },
): Promise<Sandbox> {
  const { directory, control } = needs;
  const name = sandboxNameOf(wanted.owner, wanted.session);
  const there = directory.get(name);
  if (there !== undefined && statusOf(there) !== 'MISSING') return await resumeSession(needs, there);
  // A stopped one on its way out keeps its name until it is gone.
  if (there !== undefined) await waitGone(needs, name);
  const made = await control.create({
    id: name,
    owner: wanted.owner,
    spec: wanted.spec,
    annotations: { [ANNOTATION.sessionId]: wanted.session },
  });
  try {
    return await waitForKey(needs, made);
  } catch (error) {
    // Its caller is told of a failure, and will not come back for it.
    await control.remove(name).catch(() => undefined);
    throw error;
  }
}

/** Answers with the new session key; of a sandbox that runs, with the one it has. */
export async function resumeSession(needs: Needs, sandbox: Sandbox): Promise<Sandbox> {
  if (sandbox.spec.runState !== 'Paused') return await waitForKey(needs, sandbox);
  return await waitForKey(needs, await needs.control.setRunState(sandbox.metadata.name, 'Running'));
}

/** Answers when the pod is gone, or after a while anyway. */
export async function pauseSession({ directory, control }: Needs, sandbox: Sandbox): Promise<Sandbox> {
  const { name } = sandbox.metadata;
  const asked = await control.setRunState(name, 'Paused');
  const gone = (now: Sandbox | undefined) => (['PAUSED', 'MISSING'].includes(statusOf(now)) ? now : undefined);
  return await directory.waitFor(name, gone, AbortSignal.timeout(PAUSE_WAIT_MS)).catch(() => asked);
}

/** Answers when everybody who asks is told that it is gone. */
export async function stopSession({ directory, control }: Needs, sandbox: Sandbox): Promise<void> {
  const { name } = sandbox.metadata;
  await control.remove(name);
  const going = (now: Sandbox | undefined) => (statusOf(now) === 'MISSING' ? true : undefined);
  await directory.waitFor(name, going, AbortSignal.timeout(SEEN_WAIT_MS)).catch(() => undefined);
}

/** The operator has taken up this generation: from now on slot and key are those of the coming pod. */
async function waitForKey({ directory }: Needs, asked: Sandbox): Promise<Sandbox> {
  const { name, generation = 0 } = asked.metadata;
  let seen = false;
  const look = (now: Sandbox | undefined): Sandbox | undefined => {
    seen ||= now !== undefined;
    if (now === undefined && seen) throw new ApiError('no_runtime');
    if (now === undefined) return undefined;
    const limit = limitOf(now);
    if (limit !== undefined) throw new ApiError('too_many_sandboxes', { text: limit });
    const taken = (now.status?.observedGeneration ?? 0) >= generation && now.spec.runState !== 'Paused';
    return taken && keyOf(now, '') !== undefined ? now : undefined;
  };
  try {
    return await directory.waitFor(name, look, AbortSignal.timeout(KEY_WAIT_MS));
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw new ApiError('sandbox_slow', { cause: error });
  }
}

async function waitGone({ directory }: Needs, name: string): Promise<void> {
  const gone = (now: Sandbox | undefined) => (now === undefined ? true : undefined);
  await directory.waitFor(name, gone, AbortSignal.timeout(GONE_WAIT_MS)).catch((cause: unknown) => {
    throw new ApiError('sandbox_slow', {
      text: 'The session of that name is still being deleted; start it again in a moment.',
      cause,
    });
  });
}
