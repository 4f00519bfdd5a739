/** What a warm pod of a template is made of, and the hash that tells whether an existing one is still like it. */
import type { SandboxTemplateSpec } from '../../contracts/resources.js';
import type { PersistentVolumeClaim, Pod } from '../../kube/kinds.js';
import { stableHash } from '../../kube/apply.js';
import { buildWorkspaceClaim, isEphemeralClaim } from '../build/claim.js';
import type { Holder } from '../build/meta.js';
import { buildPod } from '../build/pod.js';
import type { Installation } from '../install.js';
import { shapeOf } from '../shape.js';

export interface WarmChildren {
  /** Only where the cluster does not make it with the pod. */
  claim: PersistentVolumeClaim | undefined;
  pod: Pod;
}

export interface TemplateHash {
  /** A pod with another one is replaced. */
  whole: string;
  /** A pod with this one may be claimed until then: it has the ports, rights and workspace that the template promises now. */
  fit: string;
}

/** The first session key that a warm pod can be given. */
const EPOCH = 1;

export function buildWarm(options: {
  holder: Holder;
  slot: string;
  template: SandboxTemplateSpec;
  installation: Installation;
  templateHash: TemplateHash;
  /** Name of the Secret that has its init key. */
  initKeys: string;
}): WarmChildren {
  const { holder, slot, installation, templateHash, initKeys } = options;
  const shape = shapeOf(options.template);
  const { workspace } = shape;
  const plain = workspace.kind === 'Claim' && !isEphemeralClaim(holder, workspace);
  return {
    claim: plain ? buildWorkspaceClaim(holder, slot, workspace) : undefined,
    pod: buildPod({ holder, slot, epoch: EPOCH, shape, installation, warm: { templateHash, initKeys } }),
  };
}

/** Of everything that the template and the installation put into a warm pod and its workspace; lifecycle rules are not in it. */
export function templateHashOf(template: SandboxTemplateSpec, installation: Installation): TemplateHash {
  const holder: Holder = { kind: 'pool', name: '', namespace: '', uid: '', template: '' };
  const { pod, claim } = buildWarm({
    holder,
    slot: '',
    template,
    installation,
    templateHash: { whole: '', fit: '' },
    initKeys: '',
  });
  const { ports, egress, runAsUser, runAsGroup, fsGroup, workspace } = shapeOf(template);
  return {
    whole: stableHash([pod, claim?.spec]),
    fit: stableHash([ports, egress, runAsUser, runAsGroup, fsGroup, workspace, template.runtimeClassName]),
  };
}
