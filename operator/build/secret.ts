import { ANNOTATION } from '../../contracts/labels.js';
import { agentSecretKey, initKey, sessionKey } from '../../contracts/keys.js';
import { secretName } from '../../contracts/names.js';
import type { Secret } from '../../kube/kinds.js';
import { childLabels, ownerReference, type Holder } from './meta.js';

/** Keys of the Secret are the names of the variables that they become. */
export const SECRET_KEY = 'OH_SECRET_KEY';
export const SESSION_KEY = 'OH_SESSION_API_KEYS_0';

/** The Secret of a pod: of a sandbox its keys of this epoch, of a warm pod only the key that opens its init. */
export function buildSecret(options: { holder: Holder; slot: string; epoch: number; secret: string }): Secret {
  const { holder, slot, epoch, secret } = options;
  const plain: Record<string, string> =
    holder.kind === 'sandbox'
      ? { [SECRET_KEY]: agentSecretKey(secret, slot), [SESSION_KEY]: sessionKey(secret, slot, epoch) }
      : { [SECRET_KEY]: initKey(secret, slot) };
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
    data: Object.fromEntries(Object.entries(plain).map(([key, value]) => [key, Buffer.from(value).toString('base64')])),
  };
}
