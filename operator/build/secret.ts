import { ANNOTATION, LABEL, MANAGER, SANDBOX_APP, STATE_WARM } from '../../contracts/labels.js';
import { agentSecretKey, initKey, sessionKey } from '../../contracts/keys.js';
import { secretName } from '../../contracts/names.js';
import type { Secret } from '../../kube/kinds.js';
import type { OwnerReference } from '../../kube/types.js';
import { shardLabel } from '../shard.js';
import { childLabels, labelValue, ownerReference, type Holder } from './meta.js';

/** Keys of the Secret are the names of the variables that they become. */
export const SECRET_KEY = 'OH_SECRET_KEY';
export const SESSION_KEY = 'OH_SESSION_API_KEYS_0';

/** The Secret of a sandbox's own pod: its keys of this epoch. */
export function buildSecret(options: { holder: Holder; slot: string; epoch: number; secret: string }): Secret {
  const { holder, slot, epoch, secret } = options;
  const plain = { [SECRET_KEY]: agentSecretKey(secret, slot), [SESSION_KEY]: sessionKey(secret, slot, epoch) };
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name: secretName(slot),
      namespace: holder.namespace,
      labels: childLabels(holder, slot),
      annotations: { [ANNOTATION.keyEpoch]: String(epoch) },
      ownerReferences: [ownerReference(holder)],
    },
    type: 'Opaque',
    data: encoded(plain),
  };
}

/**
 * One Secret with the init keys of many warm pods, by slot: a Secret for each would be a write for each. A pod sees its own
 * key only, as a variable.
 */
export function buildInitKeys(options: { pool: Holder; name: string; slots: string[]; secret: string }): Secret {
  const { pool, name, slots, secret } = options;
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name,
      namespace: pool.namespace,
      labels: {
        [LABEL.name]: SANDBOX_APP,
        [LABEL.managedBy]: MANAGER,
        [LABEL.pool]: labelValue(pool.name),
        [LABEL.state]: STATE_WARM,
        ...shardLabel(pool.shard),
      },
      ownerReferences: [ownerReference(pool)],
    },
    type: 'Opaque',
    data: encoded(Object.fromEntries(slots.map((slot) => [slot, initKey(secret, slot)]))),
  };
}

/** The same Secret after it went with its pool: what a sandbox needs that still runs in one of the pool's pods. */
export function restoredInitKeys(options: { holder: Holder; name: string; slot: string; secret: string }): Secret {
  const { holder, name, slot, secret } = options;
  const owner: OwnerReference = { ...ownerReference(holder), controller: false };
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name,
      namespace: holder.namespace,
      labels: { [LABEL.name]: SANDBOX_APP, [LABEL.managedBy]: MANAGER, ...shardLabel(holder.shard) },
      ownerReferences: [owner],
    },
    type: 'Opaque',
    data: encoded({ [slot]: initKey(secret, slot) }),
  };
}

const encoded = (plain: Record<string, string>): Record<string, string> =>
  Object.fromEntries(Object.entries(plain).map(([key, value]) => [key, Buffer.from(value).toString('base64')]));
