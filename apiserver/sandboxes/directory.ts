/** The Sandboxes of the namespace, kept in memory by a watch: live status without a call to the cluster. */
import type { KubeClient } from '../../kube/client.js';
import { createFreshCache } from '../../kube/fresh.js';
import { startReflector } from '../../kube/reflector.js';
import type { Clock } from '../../kube/types.js';
import { sessionKey } from '../../contracts/keys.js';
import { LABEL } from '../../contracts/labels.js';
import { SANDBOX, type Sandbox } from '../../contracts/resources.js';
import type { Logger } from '../../process/log.js';

export type SandboxListener = (now: Sandbox | undefined, before: Sandbox | undefined) => void;

export interface SandboxDirectory {
  get(id: string): Sandbox | undefined;
  ownedBy(owner: string): Sandbox[];
  list(): Sandbox[];
  /** The sandbox whose agent server holds this key, or held the one before: a pod on its way out still reports. */
  byKey(key: string): Sandbox | undefined;
  /** Takes in what a write answered, so that the next read sees it; nothing when the watch was quicker. */
  learn(sandbox: Sandbox): void;
  forget(id: string): void;
  /** Calls for every change of any sandbox; answers how to stop. */
  listen(listener: SandboxListener): () => void;
  /** Resolves with the first defined answer of `look`, now or at a change; rejects with the signal's reason. */
  waitFor<T>(id: string, look: (sandbox: Sandbox | undefined) => T | undefined, signal: AbortSignal): Promise<T>;
  synced: Promise<boolean>;
  hasSynced(): boolean;
  /** When the cluster last said anything; ms since 1970. */
  lastContact(): number;
  stop(): Promise<void>;
}

export interface DirectoryOptions {
  client: Pick<KubeClient, 'list' | 'watch'>;
  namespace: string;
  secret: string;
  clock: Clock;
  log: Logger;
}

/** A sandbox that only a write's answer told of, though it is gone, is seen for this long at most, and some 10 s. */
const EXPIRE_EVERY_MS = 10_000;

export function startDirectory({ client, namespace, secret, clock, log }: DirectoryOptions): SandboxDirectory {
  const keyOf = (id: string) => `${namespace}/${id}`;
  const listeners = new Set<SandboxListener>();
  const tell: SandboxListener = (now, before) => {
    for (const listener of [...listeners]) listener(now, before);
  };
  const cache = createFreshCache<Sandbox, 'owner' | 'key'>({
    indexes: {
      owner: (sandbox) => sandbox.spec.owner,
      key: (sandbox) => keysOf(sandbox, secret),
    },
    clock,
    changed: (sandbox, before) => {
      const now = cache.get(keyOf(sandbox.metadata.name));
      if (now !== undefined || before !== undefined) tell(now, before);
    },
  });

  const reflector = startReflector<Sandbox>({
    client,
    kind: SANDBOX,
    namespace,
    clock,
    log,
    handler: cache.handler,
  });
  const stopping = new AbortController();
  const expiring = (async () => {
    while (!stopping.signal.aborted) {
      await clock.sleep(EXPIRE_EVERY_MS, stopping.signal).catch(() => undefined);
      cache.expire(reflector.lastContact());
    }
  })();

  return {
    get: (id) => cache.get(keyOf(id)),
    ownedBy: (owner) => cache.by('owner', owner),
    list: () => cache.list(),
    byKey: (key) => cache.by('key', key)[0],
    learn(sandbox) {
      const before = cache.get(keyOf(sandbox.metadata.name));
      if (cache.note(sandbox)) tell(sandbox, before);
    },
    forget(id) {
      const known = cache.get(keyOf(id));
      if (known === undefined) return;
      cache.noteGone(known);
      tell(undefined, known);
    },
    listen(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    waitFor: (id, look, signal) =>
      new Promise((resolve, reject) => {
        const stop = () => {
          listeners.delete(listener);
          signal.removeEventListener('abort', onAbort);
        };
        const settle = (sandbox: Sandbox | undefined): void => {
          try {
            const found = look(sandbox);
            if (found === undefined) return;
            stop();
            resolve(found);
          } catch (error) {
            stop();
            reject(error as Error);
          }
        };
        const listener: SandboxListener = (now, before) => {
          if ((now ?? before)?.metadata.name === id) settle(now);
        };
        const onAbort = () => {
          stop();
          reject(signal.reason as Error);
        };
        if (signal.aborted) return onAbort();
        signal.addEventListener('abort', onAbort, { once: true });
        listeners.add(listener);
        settle(cache.get(keyOf(id)));
      }),
    synced: reflector.synced,
    hasSynced: reflector.hasSynced,
    lastContact: reflector.lastContact,
    async stop() {
      stopping.abort();
      await Promise.all([reflector.stop(), expiring]);
    },
  };
}

function keysOf(sandbox: Sandbox, secret: string): string[] {
  const { slot, keyEpoch = 0 } = sandbox.status ?? {};
  if (slot === undefined) return [];
  return [keyEpoch, keyEpoch - 1].filter((epoch) => epoch >= 0).map((epoch) => sessionKey(secret, slot, epoch));
}

/** The conversation that a sandbox was made for, by its label. */
export function conversationOf(sandbox: Sandbox): string | undefined {
  return sandbox.metadata.labels?.[LABEL.conversation];
}
