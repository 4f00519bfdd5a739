/** One SandboxTemplate: its status says whether pods can be made of it, before anybody makes a Sandbox. */
import { MANAGER } from '../../contracts/labels.js';
import { SANDBOX_TEMPLATE, type SandboxTemplate, type SandboxTemplateStatus } from '../../contracts/resources.js';
import type { KubeClient } from '../../kube/client.js';
import type { Reconcile } from '../../kube/controller.js';
import type { EventRecorder } from '../../kube/events.js';
import { done, wait } from '../../kube/outcome.js';
import { createStatusWriter, setConditions } from '../../kube/status.js';
import type { Clock } from '../../kube/types.js';
import type { Installation } from '../install.js';
import type { World } from '../world.js';
import { checkTemplate, type Verdict } from './check.js';

export interface TemplateReconcilerOptions {
  client: Pick<KubeClient, 'create' | 'get' | 'patch'>;
  world: Pick<World, 'templates'>;
  installation: Installation;
  clock: Clock;
  events: Pick<EventRecorder, 'record'>;
}

/** Quotas, policies and classes change without a word to the template; each look costs two dry runs. */
const RECHECK_MS = { accepted: 600_000, refused: 60_000 };

export function createTemplateReconciler(options: TemplateReconcilerOptions): Reconcile {
  const { client, world, clock, events } = options;
  const writer = createStatusWriter<SandboxTemplate, SandboxTemplateStatus>({
    client,
    kind: SANDBOX_TEMPLATE,
    fieldManager: MANAGER,
  });
  /** When which generation is looked at again, in this term. Bounded by the templates that exist. */
  const next = new Map<string, { generation: number; at: number }>();

  return async (key, signal) => {
    const template = world.templates.get(key);
    if (template === undefined) {
      next.delete(key);
      return done;
    }
    const { generation = 0 } = template.metadata;
    const due = next.get(key);
    if (due?.generation === generation && due.at > clock.now()) return wait(due.at - clock.now(), 'checked');
    const verdict = await checkTemplate(options, template, signal);
    const written = await writer.write(template, (latest) => templateStatus(latest, generation, verdict, clock.now()));
    if (written === undefined) world.templates.noteGone(template);
    else if (written !== template) world.templates.note(written);
    const before = readyOf(template);
    if (!verdict.accepted && (before?.status !== 'False' || before.reason !== verdict.reason))
      events.record(SANDBOX_TEMPLATE, template, { type: 'Warning', ...messageOf(verdict) });
    const ms = verdict.accepted ? RECHECK_MS.accepted : RECHECK_MS.refused;
    next.set(key, { generation, at: clock.now() + ms });
    return wait(ms, 'checked');
  };
}

const readyOf = ({ status }: SandboxTemplate) => status?.conditions?.find(({ type }) => type === 'Ready');

function messageOf(verdict: Verdict): { reason: string; message: string } {
  if (verdict.accepted) return { reason: 'Accepted', message: 'the API server takes pods of this template' };
  return { reason: verdict.reason, message: verdict.message };
}

/** `generation`: the one that the verdict speaks of. */
export function templateStatus(
  { status }: SandboxTemplate,
  generation: number,
  verdict: Verdict,
  now: number,
): SandboxTemplateStatus {
  const ready = {
    type: 'Ready',
    status: verdict.accepted ? ('True' as const) : ('False' as const),
    ...messageOf(verdict),
    observedGeneration: generation,
  };
  return { observedGeneration: generation, conditions: [...setConditions(status?.conditions ?? [], [ready], now)] };
}
