/** What clients are told of a sandbox, derived from its resource alone. Pure. */
import { sessionKey } from '../../contracts/keys.js';
import { PORTS, type PortName } from '../../contracts/ports.js';
import { conditionOf, isReady, type Sandbox } from '../../contracts/resources.js';
import { sandboxUrl, type GatewayAddress } from '../../contracts/urls.js';
import { isoNaive } from '../http/times.js';

export type SandboxStatus = 'STARTING' | 'RUNNING' | 'PAUSED' | 'ERROR' | 'MISSING';

/**
 * RUNNING only while the agent answers; PAUSED only once the pod is gone (until then STARTING: clients poll quickly in that
 * state); MISSING for what is deleted or being deleted.
 */
export function statusOf(sandbox: Sandbox | undefined): SandboxStatus {
  if (sandbox === undefined || sandbox.metadata.deletionTimestamp !== undefined) return 'MISSING';
  const phase = sandbox.status?.phase;
  if (sandbox.spec.runState === 'Paused') return phase === 'Paused' ? 'PAUSED' : 'STARTING';
  if (phase === 'Failed') return 'ERROR';
  return isReady(sandbox) && slotOf(sandbox) !== undefined ? 'RUNNING' : 'STARTING';
}

export interface SandboxProgress {
  phase: string;
  conditions: { type: string; status: string; reason: string; message: string; lastTransitionTime: string }[];
  pool: string | null;
}

/** How far a sandbox is, as the operator says it: what a person watches while it comes up. */
export function shownProgress({ status }: Sandbox): SandboxProgress {
  const conditions = (status?.conditions ?? []).map(({ type, status: holds, reason, message, lastTransitionTime }) => ({
    type,
    status: holds,
    reason,
    message,
    lastTransitionTime,
  }));
  return { phase: status?.phase ?? 'Pending', conditions, pool: status?.pool ?? null };
}

export function slotOf(sandbox: Sandbox): string | undefined {
  return sandbox.status?.slot;
}

/** The current session key; undefined before the sandbox has a slot. */
export function keyOf(sandbox: Sandbox, secret: string): string | undefined {
  const { slot, keyEpoch } = sandbox.status ?? {};
  return slot === undefined ? undefined : sessionKey(secret, slot, keyEpoch ?? 0);
}

/** The number behind a named port of the current pod; what was asked for before the operator told it. */
export function portOf(sandbox: Sandbox, name: PortName): number {
  const among = (ports: { name: string; port: number }[] | undefined) =>
    ports?.find((port) => port.name === name)?.port;
  return among(sandbox.status?.ports) ?? among(sandbox.spec.ports) ?? PORTS[name];
}

export interface ExposedUrl {
  name: string;
  url: string;
  port: number;
}

/** What a browser may open of a running sandbox. `folder` is where VS Code starts. */
export function exposedUrls(
  sandbox: Sandbox,
  access: { gateway: GatewayAddress; secret: string; folder: string },
): ExposedUrl[] | null {
  const slot = slotOf(sandbox);
  if (statusOf(sandbox) !== 'RUNNING' || slot === undefined) return null;
  const at = (name: PortName) => sandboxUrl(access.gateway, slot, name);
  const token = encodeURIComponent(keyOf(sandbox, access.secret) ?? '');
  return [
    { name: 'AGENT_SERVER', url: at('agent'), port: portOf(sandbox, 'agent') },
    {
      name: 'VSCODE',
      url: `${at('vscode')}/?tkn=${token}&folder=${encodeURIComponent(access.folder)}`,
      port: portOf(sandbox, 'vscode'),
    },
    { name: 'WORKER_1', url: at('worker-1'), port: portOf(sandbox, 'worker-1') },
    { name: 'WORKER_2', url: at('worker-2'), port: portOf(sandbox, 'worker-2') },
  ];
}

/** When the resource was made, in the form in which sandboxes say their times. */
export function createdAt(sandbox: Sandbox): string {
  const made = Date.parse(sandbox.metadata.creationTimestamp ?? '');
  return isoNaive(new Date(Number.isNaN(made) ? 0 : made));
}

/** Why a start cannot succeed any more; undefined while it may. */
export function failureOf(sandbox: Sandbox): string | undefined {
  if (sandbox.status?.phase !== 'Failed') return undefined;
  const ready = conditionOf(sandbox, 'Ready');
  return ready === undefined ? 'the sandbox failed' : `${ready.message} (${ready.reason})`;
}

const LIMITS = new Set(['OwnerLimitReached', 'NamespaceLimitReached']);

/** The limit that holds a sandbox back, in the operator's words. */
export function limitOf(sandbox: Sandbox): string | undefined {
  const ready = conditionOf(sandbox, 'Ready');
  return ready !== undefined && LIMITS.has(ready.reason) ? ready.message : undefined;
}

/** One sentence on what a starting sandbox waits for. */
export function progressOf(sandbox: Sandbox): string {
  const pool = sandbox.status?.pool;
  const limit = limitOf(sandbox);
  if (limit !== undefined) return limit;
  if (sandbox.status?.slot === undefined) return 'Waiting for the operator to take the sandbox up';
  for (const type of ['WorkspaceReady', 'PodScheduled', 'PodReady', 'AgentReady']) {
    const condition = conditionOf(sandbox, type);
    if (condition !== undefined && condition.status !== 'True')
      return condition.message === '' ? `${type}: ${condition.reason}` : condition.message;
  }
  return pool === undefined ? 'The sandbox is starting' : `Claimed a warm sandbox of pool ${pool}`;
}
