/** A conversation with its agent and a scripted model, for tests of the loop. */
import type { AgentEventOf, EventKind } from '../../../contracts/agent/events.js';
import type { RunEnd } from '../../seam.js';
import { createAgentRuntime } from '../runtime.js';
import { agentConfig, testConversation, type TestConversation, type TestOptions } from './conversation.js';
import type { ScriptedModel, Turn } from './model.js';

export interface Stage {
  conversation: TestConversation;
  runtime: ReturnType<typeof createAgentRuntime>;
  say(words: string): Promise<string>;
  run(signals?: { pause?: AbortSignal; interrupt?: AbortSignal }): Promise<RunEnd>;
  of<Kind extends EventKind>(kind: Kind): AgentEventOf<Kind>[];
}

export const never = (): AbortSignal => new AbortController().signal;
export const terminal = (command: string, more: object = {}): { tool: string; args: unknown } => ({
  tool: 'terminal',
  args: { command, ...more },
});
export const finish = (message: string): Turn => ({ calls: [{ tool: 'finish', args: { message } }] });

/** Bound to one model; `test` ends what a stage holds. */
export type MakeStage = (test: Test, turns: Turn[], options?: StageOptions) => Stage;
type StageOptions = Partial<TestOptions> & { stream?: boolean };
interface Test {
  teardown(work: () => Promise<void>): void;
}

export const stageFor =
  (model: ScriptedModel): MakeStage =>
  (test, turns, options = {}) =>
    makeStage(model, { test, turns, options });

function makeStage(
  model: ScriptedModel,
  { test, turns, options }: { test: Test; turns: Turn[]; options: StageOptions },
): Stage {
  model.requests.length = 0;
  model.script(...turns);
  const agent = options.agent ?? agentConfig({ base_url: model.url, stream: options.stream ?? false });
  const conversation = testConversation({ ...options, agent });
  const runtime = createAgentRuntime({ log: conversation.log, clock: conversation.clock });
  test.teardown(async () => {
    await runtime.close(conversation);
    conversation.remove();
  });
  return {
    conversation,
    runtime,
    say: (words) =>
      conversation.exclusive(() =>
        runtime.receiveMessage(conversation, { role: 'user', content: [{ type: 'text', text: words }] }),
      ),
    run: (signals = {}) =>
      runtime.run(conversation, { pause: signals.pause ?? never(), interrupt: signals.interrupt ?? never() }),
    of: (kind) => conversation.events.filter((event) => event.kind === kind) as never,
  };
}
export const firstText = (observation: { content: { type: string; text?: string }[] }): string =>
  observation.content[0]?.text ?? '';
