/** Whether pods of a template can be made: the API server itself is asked, by a dry run, which stores nothing. */
import { newSlot } from '../../contracts/names.js';
import type { SandboxTemplate } from '../../contracts/resources.js';
import type { KubeClient } from '../../kube/client.js';
import { POD, PVC } from '../../kube/kinds.js';
import type { KubeObject } from '../../kube/types.js';
import { buildWorkspaceClaim } from '../build/claim.js';
import type { Holder } from '../build/meta.js';
import { buildPod } from '../build/pod.js';
import type { Installation } from '../install.js';
import { refusalOf } from '../sandbox/refusal.js';
import { shapeOf } from '../shape.js';

/** Why not, in the API server's words. */
export type Verdict = { accepted: true } | { accepted: false; reason: string; message: string };

export interface CheckOptions {
  client: Pick<KubeClient, 'create'>;
  installation: Installation;
}

/**
 * What a sandbox of the template would be made of goes through validation, quotas, Pod Security and admission policies. Not
 * seen that way: whether image, Secrets and storage class exist. Rejects with errors that trying again may heal.
 */
export async function checkTemplate(
  { client, installation }: CheckOptions,
  { metadata, spec }: SandboxTemplate,
  signal: AbortSignal,
): Promise<Verdict> {
  const { name, namespace = '' } = metadata;
  const holder: Holder = { kind: 'sandbox', name: 'template-check', namespace, uid: '', template: name };
  const slot = newSlot();
  const shape = shapeOf(spec);
  const pod = unowned(buildPod({ holder, slot, epoch: 1, shape, installation }));
  const claim =
    shape.workspace.kind === 'Claim' ? unowned(buildWorkspaceClaim(holder, slot, shape.workspace)) : undefined;
  try {
    await client.create(POD, pod, { dryRun: true, signal });
    if (claim !== undefined) await client.create(PVC, claim, { dryRun: true, signal });
    return { accepted: true };
  } catch (error) {
    const refusal = refusalOf('pod', error);
    if (refusal === undefined) throw error;
    return { accepted: false, reason: refusal.reason, message: refusal.message.replaceAll(slot, 'sandbox') };
  }
}

function unowned<T extends KubeObject>(object: T): T {
  const { ownerReferences: _, ...metadata } = object.metadata;
  return { ...object, metadata };
}
