/** What a person can do about a reason: the end of the message of the condition Ready, and of Events. */

const POD_EVENTS = 'see `kubectl describe pod`';
const WAYS: Readonly<Record<string, string>> = {
  ImagePullFailed: "check the image's name and tag, and that the nodes may pull it (imagePullSecrets of the template)",
  ContainerStartFailed: 'check command, args, and the Secrets and ConfigMaps that env and envFrom name',
  CrashLoop: 'see `kubectl logs --previous` of the pod',
  ProbeFailing: 'see `kubectl logs` of the pod',
  OOMKilled: 'raise resources.limits.memory or resourceFactor',
  Unschedulable: 'ask for less (resources, resourceFactor), add nodes, or check runtimeClassName and node selectors',
  VolumePending: 'see `kubectl describe pvc`; check the storage class of the workspace',
  FailedMount: `check that the claim, Secret or ConfigMap of the volume exists; ${POD_EVENTS}`,
  FailedAttachVolume: `the volume may still be attached to another node; ${POD_EVENTS}`,
  FailedMapVolume: POD_EVENTS,
  FailedCreatePodSandBox: `check the node's network plugin and the RuntimeClass; ${POD_EVENTS}`,
  QuotaExceeded: 'tried again by itself; raise the ResourceQuota, or pause or delete other sandboxes',
  Forbidden: 'tried again by itself; change the spec or template, or the policy that refuses it',
  Invalid: 'correct the spec or the template',
  NameTaken: 'delete or rename the object that has the name',
  TemplateNotFound: 'create it, or name another one in spec.template',
};

/** The message with the way out at its end; the same when it has it already, or none is known. */
export function advised(reason: string, message: string): string {
  const way = WAYS[reason];
  return way === undefined || message.endsWith(way) ? message : `${message}; ${way}`;
}
