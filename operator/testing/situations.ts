/** Sandboxes, pods and situations for tests of decisions. */
import type { Sandbox, SandboxSpec, SandboxStatus } from '../../contracts/resources.js';
import { slotOfSandbox } from '../../contracts/names.js';
import type { ContainerStatus, PersistentVolumeClaim, Pod, PodStatus } from '../../kube/kinds.js';
import { CRASH_POLICY } from '../backoff.js';
import { timestamp } from '../durations.js';
import { decide } from '../sandbox/decide.js';
import type { Decision, Situation } from '../sandbox/situation.js';

export const NOW = Date.parse('2026-01-01T12:00:00Z');
export const ago = (seconds: number) => timestamp(NOW - seconds * 1_000);
export const uid = 'uid-1';
export const cold = slotOfSandbox(uid);

export function sandboxOf(
  spec: SandboxSpec = {},
  status?: SandboxStatus,
  more: Partial<Sandbox['metadata']> = {},
): Sandbox {
  return {
    metadata: { name: 'one', namespace: 'ns', uid, generation: 1, creationTimestamp: ago(10), ...more },
    spec: { runState: 'Running', ...spec },
    ...(status === undefined ? {} : { status }),
  };
}
export const container = (more: Partial<ContainerStatus> = {}): ContainerStatus => ({
  name: 'agent',
  ready: false,
  restartCount: 0,
  image: '',
  imageID: '',
  ...more,
});
export const condition = (type: string, status: 'True' | 'False' | 'Unknown', more = {}) => ({ type, status, ...more });
export const READY: PodStatus = {
  phase: 'Running',
  podIP: '10.0.0.1',
  conditions: [condition('PodScheduled', 'True'), condition('Ready', 'True')],
  containerStatuses: [container({ ready: true, started: true, state: { running: {} } })],
};
export function podOf(
  status: PodStatus = READY,
  more: { epoch?: number; pool?: string; slot?: string; meta?: object } = {},
): Pod {
  const slot = more.slot ?? cold;
  return {
    metadata: {
      name: slot,
      namespace: 'ns',
      uid: `pod-${slot}`,
      creationTimestamp: ago(10),
      labels: {
        'sandlot.dev/slot': slot,
        'sandlot.dev/sandbox': 'one',
        ...(more.pool === undefined ? {} : { 'sandlot.dev/pool': more.pool }),
      },
      annotations: { 'sandlot.dev/key-epoch': String(more.epoch ?? 1) },
      ...more.meta,
    },
    spec: {
      nodeName: 'n1',
      containers: [{ name: 'agent', ports: [{ name: 'agent', containerPort: 8000 }, { containerPort: 99 }] }],
    },
    status,
  };
}
export const claim = (labels: Record<string, string> = { 'sandlot.dev/sandbox': 'one' }): PersistentVolumeClaim => ({
  metadata: { name: `${cold}-workspace`, namespace: 'ns', labels },
  spec: {},
  status: { phase: 'Bound' },
});
export function situation(parts: Partial<Situation> = {}): Situation {
  return {
    sandbox: sandboxOf(),
    now: NOW,
    template: { image: 'x' },
    strays: [],
    pool: { kind: 'none' },
    agent: { init: 'unknown' },
    place: { kind: 'free' },
    farewell: 'over',
    limits: { crash: CRASH_POLICY, startDeadlineMs: 600_000, lostMs: 60_000, leaseMs: 45_000 },
    workspace: claim(),
    ...parts,
  };
}
export const verbs = (decision: Decision) => decision.actions.map((action) => action.do).join(' ');
export const at = (decision: Decision, type: string) => {
  const found = decision.status.conditions?.find((one) => one.type === type);
  return `${found?.status} ${found?.reason}`;
};
/** The sandbox as it is after its status was written. */
export const after = (before: Sandbox, decision: Decision): Sandbox => ({ ...before, status: decision.status });
export const SLOT = { slot: cold, keyEpoch: 1 };
export const RUNNING = after(sandboxOf({}, SLOT), decide(situation({ sandbox: sandboxOf({}, SLOT), pod: podOf() })));
