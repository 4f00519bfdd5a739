/** What suites do with starts of conversations: begin one, play the operator for its sandbox, wait for its end. */
import type { OperatorHand, Rig } from './api-rig.js';
import { startFakeAgent, type FakeAgent } from './fake-agent.js';
import { until } from './stack.js';

export interface Task {
  id: string;
  status: string;
  detail: string | null;
  app_conversation_id: string | null;
  sandbox_id: string | null;
}
export interface Conversation {
  id: string;
  title: string;
  sandbox_status: string;
  execution_status: string | null;
  conversation_url: string | null;
  session_api_key: string | null;
  metrics: { accumulated_cost: number };
}
export interface Page<T> {
  items: T[];
  next_page_id: string | null;
}

export const V1 = '/api/v1';
export const say = (text: string) => ({ role: 'user', content: [{ type: 'text', text }] });

export function startsOf(hand: OperatorHand) {
  /** Plays the operator for one sandbox as soon as it is there. */
  const comeUp = async (name: string): Promise<FakeAgent> => {
    const agent = await startFakeAgent('');
    await until('the sandbox', () => hand.get(name));
    await hand.ready(name, agent);
    return agent;
  };
  const taskOf = async (rig: Rig, id: string) =>
    (await rig.call<Task[]>('GET', `${V1}/app-conversations/start-tasks?ids=${id}`)).body[0]!;
  const ended = (rig: Rig, id: string) =>
    until(`the end of start ${id}`, async () => {
      const task = await taskOf(rig, id);
      return ['READY', 'ERROR'].includes(task.status) ? task : undefined;
    });
  const conversationOf = async (rig: Rig, id: string) =>
    (await rig.call<(Conversation | null)[]>('GET', `${V1}/app-conversations?ids=${id}`)).body[0];
  const named = (rig: Rig, task: Task) =>
    until('the sandbox id', async () => (await taskOf(rig, task.id)).sandbox_id ?? undefined);
  /** A conversation that runs on a stand-in. */
  const converse = async (
    rig: Rig,
    body: object = {},
  ): Promise<{ id: string; sandboxId: string; agent: FakeAgent }> => {
    const { body: task } = await rig.call<Task>('POST', `${V1}/app-conversations`, body);
    const sandboxId = await named(rig, task);
    const agent = await comeUp(sandboxId);
    const done = await ended(rig, task.id);
    if (done.status !== 'READY') throw new Error(`start failed: ${done.detail ?? ''}`);
    return { id: done.app_conversation_id ?? '', sandboxId, agent };
  };
  return { comeUp, taskOf, ended, conversationOf, named, converse };
}
