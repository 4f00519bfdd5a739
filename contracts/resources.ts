/** The custom resources of sandlot.dev/v1alpha1 as TypeScript sees them. Shapes come from crds/ (resources.gen.ts). */
import type {
  SandboxPoolSpec,
  SandboxPoolStatus,
  SandboxSpec,
  SandboxStatus,
  SandboxTemplateSpec,
  SandboxTemplateStatus,
} from './resources.gen.js';

export type {
  SandboxPoolSpec,
  SandboxPoolStatus,
  SandboxSpec,
  SandboxStatus,
  SandboxTemplateSpec,
  SandboxTemplateStatus,
};

export const GROUP = 'sandlot.dev';
export const VERSION = 'v1alpha1';

/** Structurally a kube/ `Kind`; declared here too because contracts/ stands beside kube/, not on it. */
const kindOf = (kind: string, plural: string) =>
  ({ group: GROUP, version: VERSION, kind, plural, namespaced: true }) as const;

export const SANDBOX = kindOf('Sandbox', 'sandboxes');
export const SANDBOX_TEMPLATE = kindOf('SandboxTemplate', 'sandboxtemplates');
export const SANDBOX_POOL = kindOf('SandboxPool', 'sandboxpools');

interface Metadata {
  name: string;
  namespace?: string;
  uid?: string;
  resourceVersion?: string;
  generation?: number;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  finalizers?: string[];
}

interface Resource<Spec, Status> {
  apiVersion?: string;
  kind?: string;
  metadata: Metadata;
  spec: Spec;
  status?: Status;
}

export type Sandbox = Resource<SandboxSpec, SandboxStatus>;
export type SandboxTemplate = Resource<SandboxTemplateSpec, SandboxTemplateStatus>;
export type SandboxPool = Resource<SandboxPoolSpec, SandboxPoolStatus>;

export type SandboxPhase = NonNullable<SandboxStatus['phase']>;
export type SandboxCondition = NonNullable<SandboxStatus['conditions']>[number];

export function conditionOf(sandbox: Sandbox, type: string): SandboxCondition | undefined {
  return sandbox.status?.conditions?.find((condition) => condition.type === type);
}

/** "Running" is said only when the agent server answers and the sandbox is the current one (DESIGN: status tells the truth once). */
export function isReady(sandbox: Sandbox): boolean {
  return conditionOf(sandbox, 'Ready')?.status === 'True' && sandbox.metadata.deletionTimestamp === undefined;
}
