/** The agent of a pod: what the server asks of it, for every conversation. */
import { randomUUID } from 'node:crypto';
import type { Message } from '../../contracts/agent/events.js';
import {
  NoCondenserError,
  type AgentConversation,
  type AgentRuntime,
  type CreateAgentRuntime,
  type RunEnd,
} from '../seam.js';
import { appendCallError, RESTARTED } from './actions.js';
import { condenseNow, condenserOf } from './condense.js';
import { judgeGoal } from './goal.js';
import { runHooks } from './hooks.js';
import { runLoop } from './run.js';
import { calledSkills, calledText, skillsOf, skillsText, type KnownSkill, type SkillPlaces } from './skills.js';
import { contentText, text } from '../tools/tool.js';
import { answerQuestion, makeTitle, tryModel } from './side.js';
import { systemPromptEvent } from './system-prompt.js';
import { openCalls } from './view.js';
import { createWorker, type Worker } from './worker.js';

/** SessionStart hooks: once for each process that works in the conversation. */
async function startSession(worker: Worker): Promise<void> {
  if (worker.session) return;
  worker.session = true;
  await runHooks(worker, 'SessionStart', { details: {} });
}

/** SessionEnd hooks; not when another server has the conversation now. */
async function endSession(worker: Worker): Promise<void> {
  if (!worker.session) return;
  worker.session = false;
  await runHooks(worker, 'SessionEnd', { details: {} }).catch((error: unknown) =>
    worker.conversation.log.warn({ error }, 'the last hooks could not run'),
  );
}

const placesOf = (conversation: AgentConversation): SkillPlaces => ({
  workspaceDir: conversation.workspaceDir,
  home: conversation.commandEnvironment()['HOME'] ?? null,
});

/** Writes the SystemPromptEvent when the branch has none. Called inside the lock. */
async function ensureSystemPrompt(worker: Worker): Promise<void> {
  await startSession(worker);
  const view = await worker.view.refresh();
  if (view.events.some((event) => event.kind === 'SystemPromptEvent')) return;
  const { conversation, tools } = worker;
  const missing = await worker.connected();
  const env = conversation.commandEnvironment();
  const agent = conversation.settings().agent;
  const skills = skillsText(await skillsOf(agent, placesOf(conversation)));
  const facts = {
    workingDir: conversation.workspaceDir,
    workerPorts: [env['WORKER_1'], env['WORKER_2']].filter((port): port is string => port !== undefined && port !== ''),
    secrets: conversation.secrets.names(),
    missing,
    ...(skills === undefined ? {} : { skills }),
  };
  await conversation.append(systemPromptEvent(agent, tools.values(), facts));
}

/** Skills that the message calls by a keyword, and that the model was not given before. */
async function skillsFor(worker: Worker, message: Message): Promise<KnownSkill[]> {
  const { conversation } = worker;
  const skills = await skillsOf(conversation.settings().agent, placesOf(conversation));
  if (skills.every((skill) => skill.keywords.length === 0 && !skill.late)) return [];
  const { events } = await worker.view.refresh();
  const before = new Set(events.flatMap((event) => (event.kind === 'MessageEvent' ? event.activated_skills : [])));
  return calledSkills(skills, contentText(message.content), before);
}

async function storeMessage(worker: Worker, message: Message, sender: string | undefined): Promise<string> {
  const { conversation } = worker;
  await ensureSystemPrompt(worker);
  const called = await skillsFor(worker, message);
  const suffix = conversation.settings().agent.agent_context?.user_message_suffix ?? '';
  const id = randomUUID();
  const { blocked, context } = await runHooks(worker, 'UserPromptSubmit', {
    messageId: id,
    details: { message: contentText(message.content) },
  });
  if (blocked !== undefined) {
    worker.blockedMessages.add(id);
    await conversation.block('message', id, blocked);
  }
  const stored = await conversation.append({
    kind: 'MessageEvent',
    id,
    source: 'user',
    llm_message: {
      role: message.role,
      content: message.content.map((part) => ({ cache_prompt: false, ...part })),
      tool_calls: message.tool_calls ?? null,
      tool_call_id: message.tool_call_id ?? null,
      name: message.name ?? null,
      reasoning_content: message.reasoning_content ?? null,
      thinking_blocks: message.thinking_blocks ?? [],
      responses_reasoning_item: message.responses_reasoning_item ?? null,
    },
    llm_response_id: null,
    activated_skills: called.map((skill) => skill.name),
    extended_content: [...called.map(calledText), ...context, suffix].filter((part) => part !== '').map(text),
    sender: sender ?? null,
    critic_result: null,
  });
  if (called.length > 0) await conversation.activateSkills(called.map((skill) => skill.name));
  return stored.id;
}

export const createAgentRuntime: CreateAgentRuntime = ({ log, clock }): AgentRuntime => {
  const workers = new Map<string, Worker>();
  const workerOf = (conversation: AgentConversation): Worker => {
    const known = workers.get(conversation.id);
    if (known?.conversation === conversation) return known;
    void known?.close();
    const made = createWorker(conversation);
    workers.set(conversation.id, made);
    return made;
  };

  return {
    receiveMessage: (conversation, message, sender) => storeMessage(workerOf(conversation), message, sender),
    async run(conversation, signals): Promise<RunEnd> {
      const worker = workerOf(conversation);
      await worker.connected();
      await conversation.exclusive(() => ensureSystemPrompt(worker));
      return runLoop(worker, signals);
    },
    async rejectPending(conversation, reason) {
      const worker = workerOf(conversation);
      const waiting = openCalls((await worker.view.refresh()).events).filter((event) => event.action != null);
      for (const event of waiting) {
        worker.unmasked.delete(event.id);
        await conversation.append({
          kind: 'UserRejectObservation',
          tool_name: event.tool_name,
          tool_call_id: event.tool_call_id,
          rejection_reason: reason,
          rejection_source: 'user',
          action_id: event.id,
        });
      }
      return waiting.length;
    },
    async recover(conversation) {
      const worker = workerOf(conversation);
      const open = openCalls((await worker.view.refresh()).events);
      for (const event of open) await appendCallError(worker, event, { error: RESTARTED, kind: 'internal' });
      return open.length;
    },
    tryModel: (llm, signal) => tryModel(llm, { clock, log, signal }),
    askAgent: (conversation, question, signal) => answerQuestion(workerOf(conversation), question, signal),
    judgeGoal: (conversation, objective, signal) => judgeGoal(workerOf(conversation), objective, signal),
    generateTitle: (conversation, options) => makeTitle(workerOf(conversation), options),
    async condense(conversation, signal) {
      const worker = workerOf(conversation);
      const settings = condenserOf(worker);
      if (settings === undefined) throw new NoCondenserError();
      await conversation.append({ kind: 'CondensationRequest' });
      // A run that is under way condenses before its next step.
      if (conversation.status() !== 'running') await condenseNow(worker, settings, signal);
    },
    async close(conversation, how = {}) {
      const worker = workers.get(conversation.id);
      workers.delete(conversation.id);
      if (worker !== undefined && how.lost !== true) await endSession(worker);
      await worker?.close();
      log.debug({ conversation_id: conversation.id }, 'the agent of the conversation is closed');
    },
  };
};
