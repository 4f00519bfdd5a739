/** Running a conversation: one run at a time each, a limit for all together, pause and interrupt. */
import type { Message } from '../../contracts/agent/events.js';
import { randomUUID } from 'node:crypto';
import { DISK_FULL, isDiskFull } from '../disk.js';
import { HttpError } from '../http/errors.js';
import type { AgentRuntime, RunEnd } from '../seam.js';
import { createArrears } from './arrears.js';
import type { Conversation } from './conversation.js';

export interface Runner {
  readonly running: boolean;
  /** Starts a run; resolves once its status is told. Throws HttpError 409 or 429. A finished conversation stays as it is. */
  run(): Promise<void>;
  /** Stores a user's message and, if asked to, starts a run or lets the one that goes on see it. */
  message(message: Message, options: { run: boolean; sender?: string }): Promise<void>;
  pause(): Promise<void>;
  interrupt(): Promise<void>;
  respond(accept: boolean, reason: string): Promise<void>;
  /** Stops a run now. `paused`: the conversation says so (shutdown); else nothing is written (deletion, lost lease). */
  stop(how: 'paused' | 'silent'): Promise<void>;
  /** Resolves when the run that goes on, and those that follow it at once, are over and told. */
  ended(): Promise<void>;
}

export interface RunnerOptions {
  conversation: Conversation;
  runtime: () => Promise<AgentRuntime>;
  slots: RunSlots;
  /** Told of pauses and interrupts, for the conversation webhook. */
  notify: () => void;
}

/** How many runs may go on together in this server. */
export interface RunSlots {
  free(): boolean;
  take(): () => void;
}

export function createRunSlots(limit: () => number): RunSlots {
  let taken = 0;
  return {
    free: () => taken < limit(),
    take() {
      taken++;
      let held = true;
      return () => {
        if (held) taken--;
        held = false;
      };
    },
  };
}

/** For runs that are part of another one, which has a slot. */
export const UNLIMITED: RunSlots = { free: () => true, take: () => () => undefined };

export const runLimitReached = () => new HttpError(429, 'Conversation run limit reached. Retry the request later.');

interface CurrentRun {
  pause: AbortController;
  interrupt: AbortController;
  stopped?: 'paused' | 'silent';
  /** The last message that wants an answer and came while the run went on. */
  spoken?: string;
  /** That message came too late for this run: another one answers it. */
  again?: boolean;
  done: Promise<void>;
}

const DISK_FULL_EVENT = {
  kind: 'ConversationErrorEvent' as const,
  code: 'DiskFull',
  detail: DISK_FULL,
  classification: { kind: 'transient' as const, retryable: true, user_action: 'retry' as const },
};

/** A pause answers at the latest after this; its event follows when the tools that run are done. */
const PAUSE_WAIT_MS = 2000;

export function createRunner(options: RunnerOptions): Runner {
  const { conversation, slots } = options;
  let current: CurrentRun | undefined;
  let last: Promise<void> = Promise.resolve();
  const arrears = createArrears();

  const start = async () => {
    // No wait when there is nothing to wait for: two callers at once must not both find no run.
    if (arrears.due) await arrears.pay();
    if (current !== undefined)
      throw new HttpError(409, 'Conversation already running. Wait for completion or pause first.');
    if (conversation.status() === 'finished') return;
    if (!slots.free()) throw runLimitReached();
    const release = slots.take();
    const run: CurrentRun = {
      pause: new AbortController(),
      interrupt: new AbortController(),
      done: Promise.resolve(),
    };
    current = run;
    try {
      await conversation.setStatus('running');
    } catch (error) {
      current = undefined;
      release();
      throw error;
    }
    run.done = work(run)
      .catch((error: unknown) => conversation.log.error({ err: error }, 'a run failed'))
      .finally(() => {
        release();
        if (current === run) current = undefined;
      })
      .then(() => (run.again === true && current === undefined ? start() : undefined))
      .catch((error: unknown) => conversation.log.error({ err: error }, 'a message was not answered'));
    last = run.done;
  };

  const work = async (run: CurrentRun) => {
    let end: RunEnd;
    try {
      const runtime = await options.runtime();
      end = await runtime.run(conversation, { pause: run.pause.signal, interrupt: run.interrupt.signal });
    } catch (error) {
      conversation.log.error({ err: error }, 'the agent failed');
      if (run.stopped !== undefined) return;
      if (isDiskFull(error)) return runOutOfSpace(run);
      await conversation
        .append({
          kind: 'ConversationErrorEvent',
          code: error instanceof Error ? error.name : 'Error',
          detail: conversation.secrets.mask(error instanceof Error ? error.message : String(error)),
          classification: { kind: 'internal', retryable: true, user_action: 'retry' },
        })
        .catch(() => undefined);
      end = 'error';
    }
    // A PauseEvent that waits for a tool comes before the status.
    try {
      await conversation.whileTools(() => conversation.exclusive(() => settle(run, end)));
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      runOutOfSpace(run);
    }
  };

  /** Sockets hear of it at once, the history when it takes events again; calls whose results were lost are not run twice. */
  const runOutOfSpace = (run: CurrentRun) => {
    if (current === run) current = undefined;
    conversation.record.status = 'error';
    const event = { id: randomUUID(), ...DISK_FULL_EVENT };
    conversation.tell(event);
    conversation.publishState();
    let said = false;
    conversation.onShut(arrears.stop);
    arrears.owe(() =>
      conversation.exclusive(async () => {
        await (await options.runtime()).recover(conversation);
        if (!said) await conversation.append(event);
        said = true;
        await conversation.append({
          kind: 'ConversationStateUpdateEvent',
          key: 'execution_status',
          value: conversation.status(),
        });
      }),
    );
  };

  const settle = async (run: CurrentRun, end: RunEnd) => {
    if (run.stopped === 'silent') return;
    if (end === 'interrupted' && run.stopped === undefined) await conversation.append({ kind: 'InterruptEvent' });
    // A message that arrives from here on starts a run of its own.
    current = undefined;
    run.again = end === 'finished' && (await unanswered(run));
    await conversation.setStatus(run.again ? 'idle' : end === 'interrupted' ? 'paused' : end);
    conversation.publishState();
  };

  /** Whether the last message came after the agent's last look at the conversation. */
  const unanswered = async (run: CurrentRun): Promise<boolean> => {
    if (run.spoken === undefined) return false;
    const after = await conversation.historyAfter(run.spoken);
    return after?.every((event) => event.source !== 'agent') ?? false;
  };

  const pauseIdle = () =>
    conversation.exclusive(async () => {
      if (conversation.status() !== 'idle') return;
      await conversation.setStatus('paused');
      await conversation.append({ kind: 'PauseEvent' });
    });

  return {
    get running() {
      return current !== undefined;
    },
    run: start,
    async message(message, how) {
      await arrears.pay();
      if (how.run && current === undefined && !slots.free()) throw runLimitReached();
      const runtime = await options.runtime();
      await conversation.exclusive(async () => {
        if (conversation.status() === 'finished') await conversation.setStatus('idle');
        const id = await runtime.receiveMessage(conversation, message, how.sender);
        if (how.run && current !== undefined) current.spoken = id;
      });
      if (how.run && current === undefined) await start();
    },
    async pause() {
      const run = current;
      if (run === undefined) await pauseIdle();
      else if (!run.pause.signal.aborted) {
        run.pause.abort();
        const told = conversation.whileTools(() =>
          conversation.exclusive(async () => {
            if (current === run) await conversation.append({ kind: 'PauseEvent' });
          }),
        );
        const enough = new AbortController();
        await Promise.race([told, conversation.clock.sleep(PAUSE_WAIT_MS, enough.signal).catch(() => undefined)]);
        enough.abort();
        told.catch((error: unknown) => conversation.log.error({ err: error }, 'the pause could not be noted'));
      }
      options.notify();
    },
    async interrupt() {
      if (current === undefined) await pauseIdle();
      else current.interrupt.abort();
      options.notify();
    },
    async respond(accept, reason) {
      if (accept) return start();
      const runtime = await options.runtime();
      await conversation.exclusive(async () => {
        if (current !== undefined) return;
        await runtime.rejectPending(conversation, reason);
        if (conversation.status() === 'waiting_for_confirmation') await conversation.setStatus('idle');
      });
    },
    async stop(how) {
      const run = current;
      if (run === undefined) return;
      run.stopped = how;
      run.interrupt.abort();
      await run.done;
    },
    async ended() {
      for (let seen: Promise<void> | undefined; seen !== last;) {
        seen = last;
        await seen;
      }
    },
  };
}
