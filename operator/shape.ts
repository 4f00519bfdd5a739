/** What a sandbox's pod should look like, after template, overrides and the installation's defaults are laid over each other. */
import type { SandboxSpec, SandboxTemplateSpec } from '../contracts/resources.js';
import { PORTS } from '../contracts/ports.js';
import type { EnvFromSource, EnvVar, ResourceRequirements, Toleration } from '../kube/kinds.js';
import type { Installation } from './install.js';
import { multiplyQuantity } from './quantity.js';

export interface Workspace {
  kind: 'Ephemeral' | 'Claim';
  /** Quantity; of a claim only. */
  size: string;
  storageClassName?: string;
  retention: 'Delete' | 'Retain';
}

export interface Shape {
  image: string;
  command?: string[];
  args?: string[];
  workingDir?: string;
  env: EnvVar[];
  envFrom: EnvFromSource[];
  resources: ResourceRequirements;
  runtimeClassName?: string;
  runAsUser: number;
  runAsGroup: number;
  fsGroup: number;
  workspace: Workspace;
  /** Named container ports, the four fixed names first. */
  ports: { name: string; port: number }[];
  egress: 'Internet' | 'None';
  imagePullPolicy?: 'Always' | 'IfNotPresent' | 'Never';
  imagePullSecrets: { name: string }[];
  nodeSelector?: Record<string, string>;
  tolerations: Toleration[];
  affinity?: Record<string, unknown>;
  priorityClassName?: string;
  terminationGracePeriodSeconds: number;
  podLabels: Record<string, string>;
  podAnnotations: Record<string, string>;
}

export type Lifecycle = NonNullable<SandboxSpec['lifecycle']>;

/** The user of the official images; the built-in shape follows them. */
const USER = 10_001;
const WORKSPACE_SIZE = '10Gi';
/** Requests small enough that a node holds many idle agents, limits that a build fits in. */
const RESOURCES: ResourceRequirements = {
  requests: { cpu: '100m', memory: '512Mi', 'ephemeral-storage': '1Gi' },
  limits: { cpu: '2', memory: '4Gi', 'ephemeral-storage': '10Gi' },
};

/** Sandboxes without template get `builtInTemplate`. Throws RangeError when resourceFactor meets a quantity that cannot be multiplied. */
export function shapeOf(template: SandboxTemplateSpec, spec: SandboxSpec = {}): Shape {
  return {
    image: spec.image ?? template.image,
    ...optional('command', spec.command ?? template.command),
    ...optional('args', spec.args ?? template.args),
    ...optional('workingDir', spec.workingDir ?? template.workingDir),
    ...optional('imagePullPolicy', spec.imagePullPolicy ?? template.imagePullPolicy),
    env: byName([...((template.env ?? []) as EnvVar[]), ...((spec.env ?? []) as EnvVar[])]),
    envFrom: [...(template.envFrom ?? []), ...(spec.envFrom ?? [])] as EnvFromSource[],
    resources: resourcesOf(template, spec),
    ...optional('runtimeClassName', spec.runtimeClassName ?? template.runtimeClassName),
    ...identityOf(template, spec),
    workspace: workspaceOf(template, spec),
    ports: portsOf([...(template.ports ?? []), ...(spec.ports ?? [])]),
    egress: spec.network?.egress ?? template.network?.egress ?? 'Internet',
    ...templateOnly(template),
  };
}

function identityOf(template: SandboxTemplateSpec, spec: SandboxSpec) {
  const runAsUser = spec.runAsUser ?? template.runAsUser ?? USER;
  const runAsGroup = spec.runAsGroup ?? template.runAsGroup ?? runAsUser;
  return { runAsUser, runAsGroup, fsGroup: spec.fsGroup ?? template.fsGroup ?? runAsGroup };
}

/** What a sandbox cannot override. */
function templateOnly(template: SandboxTemplateSpec) {
  return {
    imagePullSecrets: template.imagePullSecrets ?? [],
    ...optional('nodeSelector', template.nodeSelector),
    tolerations: (template.tolerations ?? []) as Toleration[],
    ...optional('affinity', template.affinity),
    ...optional('priorityClassName', template.priorityClassName),
    terminationGracePeriodSeconds: template.terminationGracePeriodSeconds ?? 30,
    podLabels: template.podLabels ?? {},
    podAnnotations: template.podAnnotations ?? {},
  };
}

/** The template of sandboxes that name none. */
export function builtInTemplate(installation: Installation): SandboxTemplateSpec {
  return { image: installation.sandboxImage };
}

/** Lifecycle rules of a sandbox: its own, rule by rule, over the template's. */
export function lifecycleOf(template: SandboxTemplateSpec, spec: SandboxSpec): Lifecycle {
  return { ...template.lifecycle, ...spec.lifecycle };
}

const FIXED_AT_BIRTH = [
  'image',
  'command',
  'args',
  'workingDir',
  'imagePullPolicy',
  'env',
  'envFrom',
  'resources',
] as const;

/**
 * Why a warm pod of the template cannot serve this sandbox, or undefined when it can. Personal things come by init after
 * the claim; whatever is fixed at the pod's birth must equal the template's. The runtime class may be that of a pool (pool/view.ts).
 */
export function whyCold(template: SandboxTemplateSpec, spec: SandboxSpec): string | undefined {
  if (template.deferredInit === false) return 'the template cannot be started dormant';
  const own = FIXED_AT_BIRTH.find(
    (field) => spec[field] !== undefined && !(Array.isArray(spec[field]) && spec[field].length === 0),
  );
  if (own !== undefined) return `own ${own}`;
  if ((spec.resourceFactor ?? 1) > 1) return 'own resourceFactor';
  const warm = shapeOf(template);
  const wanted = shapeOf(template, spec);
  const differs = (['runAsUser', 'runAsGroup', 'fsGroup', 'ports', 'egress'] as const).find(
    (field) => JSON.stringify(warm[field]) !== JSON.stringify(wanted[field]),
  );
  if (differs !== undefined) return `own ${differs}`;
  // A warm claim that goes with its pod cannot be retained; one that could be retained may as well be deleted.
  const keeps = wanted.workspace.kind === 'Claim' && wanted.workspace.retention === 'Retain';
  const volume = (workspace: Workspace) =>
    JSON.stringify({ ...workspace, retention: keeps ? workspace.retention : '' });
  return volume(warm.workspace) === volume(wanted.workspace) ? undefined : 'own workspace';
}

function workspaceOf(template: SandboxTemplateSpec, spec: SandboxSpec): Workspace {
  // The API server fills in kind and retention wherever `workspace` is given, so it overrides as a whole.
  const own = spec.workspace ?? template.workspace ?? {};
  const kind = own.kind ?? 'Claim';
  const storageClassName = own.storageClassName ?? template.workspace?.storageClassName;
  return {
    kind,
    size: String(own.size ?? template.workspace?.size ?? WORKSPACE_SIZE),
    ...optional('storageClassName', storageClassName),
    retention: own.retention ?? 'Delete',
  };
}

function resourcesOf(template: SandboxTemplateSpec, spec: SandboxSpec): ResourceRequirements {
  const given = spec.resources ?? template.resources ?? RESOURCES;
  const factor = spec.resourceFactor ?? 1;
  const scaled = (list: Record<string, number | string> | undefined) =>
    Object.fromEntries(
      Object.entries(list ?? {}).map(([name, quantity]) => [
        name,
        multiplyQuantity(quantity, name === 'cpu' || name === 'memory' ? factor : 1),
      ]),
    );
  return { requests: scaled(given.requests), limits: scaled(given.limits) };
}

function portsOf(own: { name: string; port: number }[]): { name: string; port: number }[] {
  const numbers = new Map<string, number>(Object.entries(PORTS));
  for (const { name, port } of own) numbers.set(name, port);
  return [...numbers].map(([name, port]) => ({ name, port }));
}

/** Later variables of a name replace earlier ones, in the earlier one's place. */
function byName(env: EnvVar[]): EnvVar[] {
  return [...new Map(env.map((variable) => [variable.name, variable])).values()];
}

function optional<Key extends string, Value>(key: Key, value: Value | undefined): { [K in Key]?: Value } {
  return (value === undefined ? {} : { [key]: value }) as { [K in Key]?: Value };
}
