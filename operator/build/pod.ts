import { ANNOTATION, LABEL } from '../../contracts/labels.js';
import { podName, secretName, workspaceClaimName, WORKSPACE_VOLUME } from '../../contracts/names.js';
import type { Container, EnvVar, Pod, PodSpec, Probe, Volume } from '../../kube/kinds.js';
import type { Installation } from '../install.js';
import type { Shape } from '../shape.js';
import { isEphemeralClaim, workspaceClaimSpec } from './claim.js';
import { childLabels, ownerReference, type Holder } from './meta.js';
import { SECRET_KEY, SESSION_KEY } from './secret.js';
import { serviceName, serviceNumber } from './service.js';

export const CONTAINER = 'agent';
const MOUNT = '/workspace';

export interface PodOptions {
  holder: Holder;
  slot: string;
  epoch: number;
  shape: Shape;
  installation: Installation;
  /** Pods of this sandbox that were lost since the last resume, before this one. */
  restarts?: number;
  /** Of warm pods only. */
  warm?: {
    /** Of the template. */ templateHash: { whole: string; fit: string };
    /** Name of the Secret with its init key. */ initKeys: string;
  };
}

/** The pod of a sandbox, or a generic warm one when the holder is a pool: the same but dormant, and without session keys. */
export function buildPod(options: PodOptions): Pod {
  const { holder, slot, shape } = options;
  const own = (name: string) => /(^|\.)sandlot\.dev\/|^app\.kubernetes\.io\//.test(name);
  const foreign = (map: Record<string, string>) =>
    Object.fromEntries(Object.entries(map).filter(([name]) => !own(name)));
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: podName(slot),
      namespace: holder.namespace,
      labels: {
        ...foreign(shape.podLabels),
        ...childLabels(holder, slot),
        [LABEL.egress]: shape.egress,
        [LABEL.service]: serviceNumber(slot),
      },
      annotations: {
        ...foreign(shape.podAnnotations),
        'kubectl.kubernetes.io/default-container': CONTAINER,
        [ANNOTATION.keyEpoch]: String(options.epoch),
        ...(options.restarts === undefined ? {} : { [ANNOTATION.restarts]: String(options.restarts) }),
        ...warmAnnotations(options),
      },
      ownerReferences: [ownerReference(holder)],
    },
    spec: podSpec(options),
  };
}

function warmAnnotations({ warm }: PodOptions): Record<string, string> {
  return warm === undefined
    ? {}
    : {
        [ANNOTATION.templateHash]: warm.templateHash.whole,
        [ANNOTATION.templateFit]: warm.templateHash.fit,
        [ANNOTATION.initKeys]: warm.initKeys,
      };
}

function podSpec(options: PodOptions): PodSpec {
  const { slot, shape } = options;
  return {
    hostname: slot,
    subdomain: serviceName(slot),
    restartPolicy: 'Always',
    terminationGracePeriodSeconds: shape.terminationGracePeriodSeconds,
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    securityContext: {
      runAsNonRoot: true,
      runAsUser: shape.runAsUser,
      runAsGroup: shape.runAsGroup,
      fsGroup: shape.fsGroup,
      fsGroupChangePolicy: 'OnRootMismatch',
      seccompProfile: { type: 'RuntimeDefault' },
    },
    ...(shape.runtimeClassName === undefined ? {} : { runtimeClassName: shape.runtimeClassName }),
    ...(shape.priorityClassName === undefined ? {} : { priorityClassName: shape.priorityClassName }),
    ...(shape.nodeSelector === undefined ? {} : { nodeSelector: shape.nodeSelector }),
    ...(shape.affinity === undefined ? {} : { affinity: shape.affinity }),
    ...(shape.tolerations.length === 0 ? {} : { tolerations: shape.tolerations }),
    ...(shape.imagePullSecrets.length === 0 ? {} : { imagePullSecrets: shape.imagePullSecrets }),
    containers: [container(options)],
    volumes: [workspaceVolume(options)],
  };
}

function container(options: PodOptions): Container {
  const { shape } = options;
  return {
    name: CONTAINER,
    image: shape.image,
    ...(shape.imagePullPolicy === undefined ? {} : { imagePullPolicy: shape.imagePullPolicy }),
    ...(shape.command === undefined ? {} : { command: shape.command }),
    ...(shape.args === undefined ? {} : { args: shape.args }),
    ...(shape.workingDir === undefined ? {} : { workingDir: shape.workingDir }),
    env: environment(options),
    ...(shape.envFrom.length === 0 ? {} : { envFrom: shape.envFrom }),
    ports: shape.ports.map(({ name, port }) => ({ name, containerPort: port, protocol: 'TCP' as const })),
    resources: shape.resources,
    volumeMounts: [{ name: WORKSPACE_VOLUME, mountPath: MOUNT }],
    // Start-up is probed each second, so that a sandbox is ready as soon as it can be; afterwards it is left in peace.
    startupProbe: probe('/ready', { periodSeconds: 1, failureThreshold: 600 }),
    readinessProbe: probe('/ready', { periodSeconds: 5, failureThreshold: 3 }),
    livenessProbe: probe('/alive', { periodSeconds: 10, failureThreshold: 6 }),
    securityContext: {
      runAsNonRoot: true,
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
    },
  };
}

const probe = (path: string, times: { periodSeconds: number; failureThreshold: number }): Probe => ({
  httpGet: { path, port: 'agent' },
  timeoutSeconds: 5,
  ...times,
});

/**
 * Keys and workspace are the operator's: nobody moves them. Where events are reported to and which origins may read
 * answers is the installation's default: a sandbox that serves another app server brings its own.
 */
function environment(options: PodOptions): EnvVar[] {
  const fixed = fixedVariables(options);
  const keys = keyVariables(options);
  const own = without(options.shape.env, [...fixed, ...keys]);
  return [...own, ...fixed, ...without(reportVariables(options), own), ...keys];
}

function without(list: EnvVar[], other: EnvVar[]): EnvVar[] {
  const names = new Set(other.map(({ name }) => name));
  return list.filter(({ name }) => !names.has(name));
}

function fixedVariables({ shape }: PodOptions): EnvVar[] {
  const port = (name: string) => String(shape.ports.find((one) => one.name === name)?.port ?? '');
  return [
    { name: 'PORT', value: port('agent') },
    { name: 'OH_VSCODE_PORT', value: port('vscode') },
    { name: 'WORKER_1', value: port('worker-1') },
    { name: 'WORKER_2', value: port('worker-2') },
    { name: 'SANDLOT_WORKSPACE_ROOT', value: MOUNT },
    { name: 'OH_CONVERSATIONS_PATH', value: `${MOUNT}/conversations` },
    { name: 'OH_BASH_EVENTS_DIR', value: `${MOUNT}/bash_events` },
  ];
}

function reportVariables({ installation }: PodOptions): EnvVar[] {
  return [
    ...(installation.apiUrl === undefined
      ? []
      : [
          { name: 'OH_WEBHOOKS_0_BASE_URL', value: `${installation.apiUrl}/api/v1/webhooks` },
          // Its default is 30 s: the stored history would be that far behind, and lost with a killed pod.
          { name: 'OH_WEBHOOKS_0_FLUSH_DELAY', value: '1' },
          { name: 'OH_WEBHOOKS_0_EVENT_BUFFER_SIZE', value: '20' },
        ]),
    ...installation.uiOrigins.map((value, index) => ({ name: `OH_ALLOW_CORS_ORIGINS_${index}`, value })),
  ];
}

function keyVariables({ slot, warm }: PodOptions): EnvVar[] {
  const from = (name: string, key: string, secret = secretName(slot)): EnvVar => ({
    name,
    valueFrom: { secretKeyRef: { name: secret, key } },
  });
  return warm === undefined
    ? [
        from('OH_SECRET_KEY', SECRET_KEY),
        from('OH_SESSION_API_KEYS_0', SESSION_KEY),
        from('SESSION_API_KEY', SESSION_KEY),
      ]
    : // The kubelet hands out this pod's key only, of all that the Secret holds.
      [{ name: 'OH_DEFERRED_INIT', value: 'true' }, from('OH_SECRET_KEY', slot, warm.initKeys)];
}

function workspaceVolume({ holder, slot, shape: { workspace } }: PodOptions): Volume {
  const name = WORKSPACE_VOLUME;
  if (workspace.kind !== 'Claim') return { name, emptyDir: {} };
  if (!isEphemeralClaim(holder, workspace))
    return { name, persistentVolumeClaim: { claimName: workspaceClaimName(slot) } };
  const metadata = { labels: childLabels(holder, slot) };
  return { name, ephemeral: { volumeClaimTemplate: { metadata, spec: workspaceClaimSpec(workspace) } } };
}
