/** The writes to Sandboxes: create, run state, delete. Each is safe to repeat. */
import { randomUUID } from 'node:crypto';
import { KubeError, type KubeClient } from '../../kube/client.js';
import { LABEL } from '../../contracts/labels.js';
import { ALL_SESSIONS, COOKIE_SECONDS } from '../../contracts/tokens.js';
import { conversationHex, ownerLabel } from '../../contracts/names.js';
import { SANDBOX, type Sandbox, type SandboxSpec } from '../../contracts/resources.js';
import { ApiError } from '../http/errors.js';
import type { SandboxDirectory } from './directory.js';

export interface SandboxControl {
  /** Makes the Sandbox, or answers the one that is there when it has the same owner. Throws ApiError. */
  create(wanted: {
    id: string;
    owner: string;
    conversationId?: string;
    /** What differs from the installation's built-in shape. */
    spec?: Omit<SandboxSpec, 'owner' | 'runState'>;
    annotations?: Record<string, string>;
  }): Promise<Sandbox>;
  /** Throws ApiError `not_found` when it is gone. */
  setRunState(id: string, runState: 'Running' | 'Paused'): Promise<Sandbox>;
  /** Replaces who else may reach ports. Throws ApiError `not_found` when it is gone. */
  setShares(id: string, shares: NonNullable<SandboxSpec['shares']>): Promise<Sandbox>;
  /** Tells gateways that logins of the owner (marks) are over. Throws ApiError, but for a sandbox that is gone. */
  endSessions(id: string, ended: { ids: readonly string[]; at: Date }): Promise<void>;
  /** Resolves when the cluster accepted it, also when there was none. */
  remove(id: string): Promise<void>;
}

export const newSandboxId = (): string => conversationHex(randomUUID());

/** A sandbox as its template has it; without one the operator's built-in shape. */
export const specFrom = (template: string | undefined): { template?: string } =>
  template === undefined ? {} : { template };

export interface ControlOptions {
  client: Pick<KubeClient, 'create' | 'get' | 'patch' | 'delete'>;
  namespace: string;
  directory: SandboxDirectory;
}

type Ended = NonNullable<SandboxSpec['endedSessions']>[number];

const TIMEOUT_MS = 10_000;

export function createControl({ client, namespace, directory }: ControlOptions): SandboxControl {
  const ref = (name: string) => ({ namespace, name });
  const learned = (sandbox: Sandbox): Sandbox => {
    directory.learn(sandbox);
    return sandbox;
  };
  const patched = async (id: string, spec: Partial<SandboxSpec>): Promise<Sandbox> => {
    try {
      return learned(await client.patch<Sandbox>(SANDBOX, ref(id), { spec }, { type: 'merge', timeoutMs: TIMEOUT_MS }));
    } catch (error) {
      throw outage(error);
    }
  };
  return {
    async create({ id, owner, conversationId, spec = {}, annotations = {} }) {
      const labels = {
        [LABEL.owner]: ownerLabel(owner),
        ...(conversationId === undefined ? {} : { [LABEL.conversation]: conversationId }),
      };
      const wanted: Sandbox = {
        metadata: { ...ref(id), labels, annotations },
        spec: { ...spec, owner, runState: 'Running' },
      };
      try {
        return learned(await client.create<Sandbox>(SANDBOX, wanted, { timeoutMs: TIMEOUT_MS }));
      } catch (error) {
        if (!(error instanceof KubeError) || error.reason !== 'AlreadyExists') throw outage(error);
        // An earlier attempt of ours made it; anyone else's must not be taken over.
        const there = await client.get<Sandbox>(SANDBOX, ref(id), { timeoutMs: TIMEOUT_MS }).catch((cause: unknown) => {
          throw outage(cause);
        });
        if (there.spec.owner !== owner || there.metadata.deletionTimestamp !== undefined)
          throw new ApiError('start_conflict', { cause: error });
        return learned(there);
      }
    },
    setRunState: (id, runState) => patched(id, { runState }),
    async endSessions(id, ended) {
      let found = directory.get(id);
      for (let tries = 1; found !== undefined; tries += 1) {
        const { resourceVersion = '' } = found.metadata;
        const spec = { endedSessions: endedWith(found.spec.endedSessions ?? [], ended) };
        try {
          learned(
            await client.patch<Sandbox>(
              SANDBOX,
              ref(id),
              { metadata: { resourceVersion }, spec },
              { type: 'merge', timeoutMs: TIMEOUT_MS },
            ),
          );
          return;
        } catch (error) {
          const code = error instanceof KubeError ? error.code : 0;
          if (code === 404) return;
          if (code !== 409 || tries >= MAX_TRIES) throw outage(error);
          found = await client.get<Sandbox>(SANDBOX, ref(id), { timeoutMs: TIMEOUT_MS }).catch((cause: unknown) => {
            if (cause instanceof KubeError && cause.code === 404) return undefined;
            throw outage(cause);
          });
        }
      }
    },
    setShares: (id, shares) => patched(id, { shares }),
    async remove(id) {
      try {
        await client.delete(SANDBOX, ref(id), { timeoutMs: TIMEOUT_MS });
      } catch (error) {
        if (!(error instanceof KubeError) || error.code !== 404) throw outage(error);
        directory.forget(id);
      }
    },
  };
}

const MAX_TRIES = 5;
/** As many as the resource may hold. */
const MAX_ENDED = 64;

/** Pure: ended sessions, without those that no cookie can be older than; too many are all of them. */
export function endedWith(known: readonly Ended[], { ids, at }: { ids: readonly string[]; at: Date }): Ended[] {
  const fresh = known.filter(
    (one) => at.getTime() - Date.parse(one.at) < COOKIE_SECONDS * 1000 && !ids.includes(one.id),
  );
  const all = [...fresh, ...ids.map((id) => ({ id, at: at.toISOString() }))];
  return all.length <= MAX_ENDED ? all : [{ id: ALL_SESSIONS, at: at.toISOString() }];
}

/** What a user may know of a failed call to the cluster: that it is gone, refused, or that the cluster is in trouble. */
function outage(error: unknown): ApiError {
  if (error instanceof KubeError && error.code === 404) return new ApiError('not_found', { cause: error });
  if (error instanceof KubeError && (error.code === 422 || error.code === 403 || error.code === 400)) {
    const causes = error.details?.causes?.map((cause) => cause.message ?? '').join('; ');
    return new ApiError('sandbox_failed', {
      text: `The cluster refused the sandbox: ${causes === undefined || causes === '' ? error.reason : causes}`,
      cause: error,
    });
  }
  return new ApiError('cluster_unavailable', { cause: error });
}
