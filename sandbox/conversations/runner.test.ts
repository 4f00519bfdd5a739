/** Runs beside messages and pauses, with the loop's own test conversation and a scripted model. */
import t from 'tap';
import type { ExecutionStatus, Message } from '../../contracts/agent/events.js';
import { createAgentRuntime } from '../agent/runtime.js';
import { agentConfig, testConversation } from '../agent/testing/conversation.js';
import { startModel } from '../agent/testing/model.js';
import type { Conversation } from './conversation.js';
import { createMutex } from './mutex.js';
import { createRunner, createRunSlots, type Runner } from './runner.js';

const model = await startModel();
t.teardown(() => model.close());
const user = (words: string): Message => ({ role: 'user', content: [{ type: 'text', text: words }] });
const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** `beforeTurn` is called before each piece of work that tools or the end of a run hold. */
function stage(beforeTurn: (turn: number) => Promise<void> = () => Promise.resolve()): {
  runner: Runner;
  kinds(): string[];
  status(): ExecutionStatus;
  statuses: ExecutionStatus[];
  end(): Promise<void>;
} {
  const base = testConversation({ agent: agentConfig({ base_url: model.url }) });
  const statuses: ExecutionStatus[] = ['idle'];
  const whileTools = createMutex();
  let turns = 0;
  const conversation = {
    ...base,
    exclusive: createMutex(),
    whileTools: async (work: () => Promise<unknown>) => {
      await beforeTurn(++turns);
      return whileTools(work);
    },
    status: () => statuses.at(-1),
    setStatus: (status: ExecutionStatus) => Promise.resolve(void statuses.push(status)),
    publishState: () => undefined,
  } as unknown as Conversation;
  const runtime = createAgentRuntime({ log: base.log, clock: base.clock });
  const runner = createRunner({
    conversation,
    runtime: () => Promise.resolve(runtime),
    slots: createRunSlots(() => 1),
    notify: () => undefined,
  });
  return {
    runner,
    kinds: base.kinds,
    status: () => statuses.at(-1) ?? 'idle',
    statuses,
    end: async () => {
      await runner.stop('silent');
      await runtime.close(conversation);
      base.remove();
    },
  };
}

t.test('a message that comes after the last look of a run is answered by another one', async (t) => {
  model.script({ text: 'first' }, { text: 'second' });
  let late: Promise<void> | undefined;
  // Third comes the end of the run: before it, pending actions and the answer.
  const s = stage(async (turn) => {
    if (turn !== 3) return;
    late = s.runner.message(user('one more thing'), { run: true });
    while (s.kinds().at(-1) !== 'MessageEvent' || s.kinds().length < 4) await tick();
  });
  t.teardown(() => s.end());
  await s.runner.message(user('go'), { run: true });
  while (model.requests.length < 2 || s.status() !== 'finished') await tick();
  await late;
  t.strictSame(s.kinds(), ['SystemPromptEvent', 'MessageEvent', 'MessageEvent', 'MessageEvent', 'MessageEvent']);
  t.strictSame(s.statuses, ['idle', 'running', 'idle', 'running', 'finished']);
});

t.test('a message does not wait for a command; a pause is noted behind its observation', async (t) => {
  model.script(
    { calls: [{ tool: 'terminal', args: { command: 'while [ ! -e go ]; do sleep 0.05; done', timeout: 60 } }] },
    { calls: [{ tool: 'finish', args: { message: 'x' } }] },
  );
  const s = stage();
  t.teardown(() => s.end());
  await s.runner.message(user('work'), { run: true });
  while (!s.kinds().includes('ActionEvent')) await tick();
  await s.runner.message(user('are you there?'), { run: true });
  t.equal(s.kinds().at(-1), 'MessageEvent', 'stored while the command runs');
  await t.rejects(s.runner.run(), { message: /already running/ });
  const paused = s.runner.pause();
  await s.runner.interrupt();
  await paused;
  while (s.runner.running) await tick();
  t.strictSame(s.kinds().slice(-3), ['AgentErrorEvent', 'PauseEvent', 'InterruptEvent']);
  t.equal(s.status(), 'paused');
});
