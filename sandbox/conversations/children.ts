/** Sub-agents: conversations that an agent starts for a part of its task. Hidden from lists and webhooks; found by their parent. */
import type { AgentEvent } from '../../contracts/agent/events.js';
import type { AgentRuntime, Child, ChildEnd, ChildRequest, Children, Clock } from '../seam.js';
import { finalResponse } from '../services/trajectory.js';
import type { Conversation } from './conversation.js';
import type { Holdings, Live } from './holdings.js';
import { createMutex } from './mutex.js';
import { childRecord } from './new-record.js';
import type { ConversationRecord } from './record.js';
import { combined, joined } from './stats.js';

export interface ChildrenParts {
  holdings: () => Pick<Holdings, 'record' | 'live' | 'add' | 'remove'>;
  runtime: () => Promise<AgentRuntime>;
  clock: Clock;
}

/** Times that a child's actions are refused before it is left as it is. */
const MAX_REFUSALS = 20;
const REFUSED =
  'This action needs the confirmation of the user, who cannot be asked by a sub-agent. Report what you would do, and the main agent will do it.';

export function createChildren(parts: ChildrenParts, parentId: string): Children {
  const creating = createMutex();
  const record = (id: string): ConversationRecord | undefined => parts.holdings().record(id);
  const children = (): Child[] =>
    (record(parentId)?.childIds ?? []).flatMap((id) => {
      const name = record(id)?.task?.name;
      return name === undefined ? [] : [{ id, name }];
    });
  const liveOf = async (id: string): Promise<Live> => {
    const live = await parts.holdings().live(id);
    if (live === undefined) throw new Error('The conversation is not on this server any more.');
    return live;
  };

  const create = async (request: ChildRequest): Promise<Child> => {
    const { conversation: parent } = await liveOf(parentId);
    const name = nextName(children());
    const made = childRecord(parent.record, { ...request, name }, parts.clock.now() * 1000);
    await parts.holdings().add(made);
    await parent.update((r) => r.childIds.push(made.id));
    return { id: made.id, name };
  };

  return {
    get depth() {
      let depth = 0;
      for (let at = record(parentId); at?.task !== undefined && at.parentId !== null; at = record(at.parentId)) depth++;
      return depth;
    },
    list: children,
    definitions: () => record(parentId)?.agentDefinitions ?? [],
    create: (request) => creating(() => create(request)),
    async consult(request, { prompt, usageId, signal }) {
      const child = await creating(() => create(request));
      const live = await liveOf(child.id);
      try {
        await letWork(live, prompt, { signal });
        return await endOf(live.conversation);
      } finally {
        const cost = combined(live.conversation.record.stats);
        await parts.holdings().remove(child.id);
        const { conversation: parent } = await liveOf(parentId);
        await parent.update((r) => (r.childIds = r.childIds.filter((id) => id !== child.id)));
        await parent.adopt(usageId, joined(parent.record.stats.usage_to_metrics[usageId], cost));
      }
    },
    async work(child, prompt, signals) {
      const live = await liveOf(child.id);
      try {
        await letWork(live, prompt, signals);
        return await endOf(live.conversation);
      } finally {
        await (await parts.runtime()).close(live.conversation);
        const parent = await parts.holdings().live(parentId);
        await parent?.conversation.adopt(`task:${child.name}`, combined(live.conversation.record.stats));
      }
    },
  };
}

/** `task_` and eight hexadecimal digits, counted on. */
function nextName(known: readonly Child[]): string {
  const last = Math.max(0, ...known.map(({ name }) => parseInt(name.slice(5), 16) || 0));
  return `task_${(last + 1).toString(16).padStart(8, '0')}`;
}

async function letWork(
  { runner, conversation }: Live,
  prompt: string,
  { signal, pause }: { signal: AbortSignal; pause?: AbortSignal },
): Promise<void> {
  signal.throwIfAborted();
  const stop = () => void runner.interrupt();
  const rest = () => void runner.pause();
  signal.addEventListener('abort', stop, { once: true });
  pause?.addEventListener('abort', rest, { once: true });
  try {
    const content = [{ cache_prompt: false, type: 'text' as const, text: prompt }];
    await runner.message({ role: 'user', content, thinking_blocks: [] }, { run: true });
    if (signal.aborted) stop();
    else if (pause?.aborted === true) rest();
    await runner.ended();
    for (let refusals = 0; conversation.status() === 'waiting_for_confirmation'; refusals++) {
      if (refusals === MAX_REFUSALS || signal.aborted || pause?.aborted === true) break;
      await runner.respond(false, REFUSED);
      await runner.run();
      await runner.ended();
    }
  } finally {
    signal.removeEventListener('abort', stop);
    pause?.removeEventListener('abort', rest);
  }
}

async function endOf(conversation: Conversation): Promise<ChildEnd> {
  const status = conversation.status();
  const answer = await finalResponse(conversation);
  return { status, answer, problem: status === 'error' ? await lastProblem(conversation) : null };
}

async function lastProblem({ events }: Conversation): Promise<string | null> {
  for (let seq = events.index.size - 1; seq >= 0; seq--) {
    if (events.index.get(seq).kind !== 'ConversationErrorEvent') continue;
    const event = JSON.parse((await events.read([seq]))[0] ?? '') as AgentEvent;
    return event.kind === 'ConversationErrorEvent' ? event.detail : null;
  }
  return null;
}
