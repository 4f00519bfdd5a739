/** A Sandbox as clients of the Runtime API see it. Pure. */
import { ANNOTATION } from '../../contracts/labels.js';
import { conditionOf, type Sandbox, type SandboxTemplate } from '../../contracts/resources.js';
import { sandboxUrl, type GatewayAddress } from '../../contracts/urls.js';
import { keyOf, portOf, slotOf, statusOf } from '../sandboxes/status.js';

export type RuntimeStatus = 'starting' | 'running' | 'paused' | 'stopped' | 'error';

export function sessionOf(sandbox: Sandbox): string | undefined {
  return sandbox.metadata.annotations?.[ANNOTATION.sessionId];
}

/** `paused` from the moment of the wish: its caller resumes what is paused, and waits in vain for what is starting. */
export function runtimeStatus(sandbox: Sandbox): RuntimeStatus {
  switch (statusOf(sandbox)) {
    case 'MISSING':
      return 'stopped';
    case 'ERROR':
      return 'error';
    case 'RUNNING':
      return 'running';
    case 'PAUSED':
      return 'paused';
    case 'STARTING':
      return sandbox.spec.runState === 'Paused' ? 'paused' : 'starting';
  }
}

/** The word that older clients poll for; `ready`, `pending`, `running`, `failed` and `not found` mean something to them. */
function podStatus(sandbox: Sandbox, status: RuntimeStatus): string {
  if (status === 'running') return 'ready';
  if (status === 'error') return 'failed';
  if (status !== 'starting') return 'not found';
  return conditionOf(sandbox, 'PodScheduled')?.status === 'True' ? 'running' : 'pending';
}

export interface Runtime {
  /** The slot, which addresses are made of; before there is one the Sandbox's name. Either is understood. */
  runtime_id: string;
  /** The same under the SDK's name. */
  id: string;
  session_id: string;
  url: string | null;
  session_api_key: string | null;
  status: RuntimeStatus;
  status_detail: string | null;
  pod_status: string;
  work_hosts: Record<string, number>;
  restart_count: number;
  restart_reasons: string[];
}

export function showRuntime(sandbox: Sandbox, access: { gateway: GatewayAddress; secret: string }): Runtime {
  const status = runtimeStatus(sandbox);
  const slot = slotOf(sandbox);
  const id = slot ?? sandbox.metadata.name;
  const ready = conditionOf(sandbox, 'Ready');
  const at = (name: 'worker-1' | 'worker-2') =>
    slot === undefined ? [] : [[sandboxUrl(access.gateway, slot, name), portOf(sandbox, name)]];
  return {
    runtime_id: id,
    id,
    session_id: sessionOf(sandbox) ?? sandbox.metadata.name,
    url: slot === undefined ? null : sandboxUrl(access.gateway, slot),
    session_api_key: keyOf(sandbox, access.secret) ?? null,
    status,
    status_detail:
      status === 'running' || ready === undefined || ready.status === 'True'
        ? null
        : `${ready.reason}: ${ready.message}`,
    pod_status: podStatus(sandbox, status),
    work_hosts: Object.fromEntries([...at('worker-1'), ...at('worker-2')]) as Record<string, number>,
    restart_count: sandbox.status?.restartCount ?? 0,
    restart_reasons: [],
  };
}

/** Templates as what OpenHands calls warm runtime configurations: a start with these values may get a warm pod. */
export function showConfigs(templates: readonly SandboxTemplate[]): Record<string, unknown>[] {
  return templates.map(({ metadata, spec }) => ({
    name: metadata.name,
    image: spec.image,
    command: spec.command ?? null,
    environment: Object.fromEntries(
      (spec.env ?? []).flatMap(({ name, value }) => (value === undefined ? [] : [[name, value]])),
    ),
    working_dir: spec.workingDir ?? '/workspace/project',
  }));
}
