/**
 * Drives start tasks through their steps. Tasks and their states are in the database under a lease, so that a start goes
 * on in another process, or in this one after a restart, where the last one stopped.
 */
import { randomUUID } from 'node:crypto';
import type { Clock } from '../../kube/types.js';
import type { Logger } from '../../process/log.js';
import { sandboxUrl } from '../../contracts/urls.js';
import { AgentError } from '../agent/http.js';
import { deleteHistory } from '../conversations/remove.js';
import type { StartTask } from '../db/generated/client.js';
import type { Database } from '../db/open.js';
import { ApiError } from '../http/errors.js';
import type { ApiMetrics } from '../metrics.js';
import { slotOf } from '../sandboxes/status.js';
import { StartError, type StepDeps } from './context.js';
import { detailOf, requestOf, STEPS } from './steps.js';
import { LEASE_MS, STATUSES, taskStore, type StartStatus } from './tasks.js';

export interface StartWorker {
  /** Goes on with a task that was just written with `lease()`; answers at once. */
  begin(task: StartTask): void;
  /** Columns that make a new task this process's. */
  lease(): { worker: string; leaseUntil: Date };
  /**
   * Calls for every state that a task reaches, then once with undefined when it is not worked on here any more. States
   * that another API server brought about may be missed.
   */
  listen(taskId: string, listener: (task: StartTask | undefined) => void): () => void;
  /** Ends the starts of a conversation that is being deleted; resolves when they have ended. */
  cancel(conversationId: string): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

export interface WorkerOptions extends StepDeps {
  db: Database;
  clock: Clock;
  log: Logger;
  metrics: ApiMetrics;
  /** Told when a conversation is READY. */
  onReady(task: StartTask): void;
}

const POLL_MS = 5_000;
/** Mostly waiting, so many fit; more than this wait in the database. */
const MAX_RUNNING = 200;
const SWEEP_MS = 3_600_000;
/** Failed starts stay to be read for a month; those that succeeded go with their conversation. */
const KEEP_FAILED_MS = 30 * 24 * 3_600_000;
/** With the pauses between them, some 15 s. */
const ATTEMPTS = 6;
const RETRY_MS = 500;

/** The task is deleted, or another process has it. */
class LostTask extends Error {}

export function createStartWorker(options: WorkerOptions): StartWorker {
  const { db, clock, log, metrics } = options;
  const worker = randomUUID();
  const store = taskStore(db);
  const stopping = new AbortController();
  const running = new Map<string, { task: StartTask; abort: AbortController; done: Promise<void> }>();
  const listeners = new Map<string, Set<(task: StartTask | undefined) => void>>();
  const now = () => new Date(clock.now());
  const secondsOf = (task: StartTask) => (clock.now() - task.createdAt.getTime()) / 1000;
  let polling = Promise.resolve();
  let unlisten = () => {};

  const tell = (id: string, task: StartTask | undefined): void => {
    for (const listener of [...(listeners.get(id) ?? [])]) listener(task);
  };
  const write = async (id: string, change: Partial<StartTask>): Promise<StartTask> => {
    const row = await store.write(worker, id, change, now());
    if (row === undefined) throw new LostTask(`start task ${id} is not this process's any more`);
    void db.notices.tell('start', id);
    return row;
  };
  /** What another API server wrote, for those who listen here. */
  const hear = async (id: string | undefined): Promise<void> => {
    const ids = id === undefined ? [...listeners.keys()] : listeners.has(id) ? [id] : [];
    const rows = ids.length === 0 ? [] : await db.prisma.startTask.findMany({ where: { id: { in: ids } } });
    for (const row of rows) if (!running.has(row.id)) tell(row.id, row);
  };

  const runStep = async (task: StartTask, signal: AbortSignal): Promise<StartTask> => {
    const step = STEPS[task.status];
    if (step === undefined)
      throw new StartError(`The start is in a state that this version does not know (${task.status}).`);
    let current = task;
    const save = async (change: Partial<StartTask>) => {
      current = await write(task.id, change);
    };
    for (let attempt = 1; ; attempt += 1) {
      try {
        const change = await step({ ...options, task: current, request: requestOf(task), signal, save });
        const next = nextOf(task.status);
        return await write(task.id, {
          ...change,
          status: next,
          detail: null,
          ...urlOf(options, { ...current, ...change }, next),
        });
      } catch (error) {
        if (!isPassing(error) || attempt >= ATTEMPTS || signal.aborted) throw error;
        await clock.sleep(RETRY_MS * 2 ** (attempt - 1), signal);
      }
    }
  };

  const fail = async (task: StartTask, error: unknown): Promise<void> => {
    log.warn({ err: error, task: task.id, conversation_id: task.conversationId, state: task.status }, 'start failed');
    metrics.start('error', secondsOf(task));
    const failed = await write(task.id, { status: 'ERROR', detail: detailOf(error) });
    await takeBack(options, failed).catch((cause: unknown) =>
      log.error({ err: cause, task: task.id }, 'could not take back a failed start'),
    );
    tell(failed.id, failed);
  };

  /** Another process has it, or it was deleted together with its conversation while a step was under way: then tidy up after that step. */
  const leaveLost = async (task: StartTask): Promise<void> => {
    if ((await db.prisma.startTask.findUnique({ where: { id: task.id } })) !== null) return;
    const { sandbox_id, parent_conversation_id } = requestOf(task);
    const madeSandbox = sandbox_id === null && parent_conversation_id === null;
    await takeBack(options, { ...task, sandboxId: task.conversationId, madeSandbox });
  };

  const drive = async (first: StartTask, signal: AbortSignal): Promise<void> => {
    let task = first;
    try {
      while (task.status !== 'READY') {
        task = await runStep(task, signal);
        tell(task.id, task);
      }
      metrics.start('ready', secondsOf(task));
      log.info({ task: task.id, conversation_id: task.conversationId }, 'conversation started');
      options.onReady(task);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof LostTask) await leaveLost(task);
      else await fail(task, error);
    }
  };

  const begin = (task: StartTask): void => {
    if (stopping.signal.aborted || running.has(task.id)) return;
    const abort = new AbortController();
    const done = drive(task, AbortSignal.any([abort.signal, stopping.signal]))
      .catch((error: unknown) =>
        log.error({ err: error, task: task.id }, 'a start stopped; its lease runs out and it is tried again'),
      )
      .finally(() => {
        running.delete(task.id);
        tell(task.id, undefined);
      });
    running.set(task.id, { task, abort, done });
  };

  const poll = async (): Promise<void> => {
    let renewed = 0;
    let swept = 0;
    while (!stopping.signal.aborted) {
      try {
        if (clock.now() - renewed > LEASE_MS / 3) {
          renewed = clock.now();
          await store.renew(worker, [...running.keys()]);
        }
        if (clock.now() - swept > SWEEP_MS) {
          swept = clock.now();
          await store.forgetFailures(new Date(swept - KEEP_FAILED_MS));
        }
        for (const task of await store.takeOver(worker, Math.max(0, MAX_RUNNING - running.size))) begin(task);
      } catch (error) {
        log.warn({ err: error }, 'cannot look for start tasks');
      }
      await clock.sleep(POLL_MS, stopping.signal).catch(() => undefined);
    }
  };

  return {
    begin,
    lease: () => ({ worker, leaseUntil: new Date(clock.now() + LEASE_MS) }),
    listen(taskId, listener) {
      const set = listeners.get(taskId) ?? new Set();
      listeners.set(taskId, set.add(listener));
      return () => {
        set.delete(listener);
        if (set.size === 0) listeners.delete(taskId);
      };
    },
    async cancel(conversationId) {
      const concerned = [...running.values()].filter(({ task }) => task.conversationId === conversationId);
      for (const { abort } of concerned) abort.abort();
      await Promise.all(concerned.map(({ done }) => done));
    },
    async start() {
      if (db.embedded) await store.releaseAll();
      unlisten = db.notices.listen('start', (id) => {
        hear(id).catch((error: unknown) => log.debug({ err: error }, 'cannot read what another API server wrote'));
      });
      polling = poll();
    },
    async stop() {
      unlisten();
      stopping.abort();
      const ids = [...running.keys()];
      await Promise.all([polling, ...[...running.values()].map(({ done }) => done)]);
      await store.release(worker, ids);
    },
  };
}

/** A pod or a cluster's API that restarts, or is under load, is worth another try; everything else is an answer. */
function isPassing(error: unknown): boolean {
  if (error instanceof AgentError) return error.status === 0 || error.status >= 502;
  return error instanceof ApiError && error.code === 'cluster_unavailable';
}

function nextOf(status: string): StartStatus {
  return STATUSES[STATUSES.indexOf(status as (typeof STATUSES)[number]) + 1] ?? 'ERROR';
}

/** The sandbox's address at the gateway, from the state on in which the conversation is started. */
function urlOf({ directory, config }: WorkerOptions, task: StartTask, next: StartStatus): Partial<StartTask> {
  if (next !== 'STARTING_CONVERSATION' || task.sandboxId === null) return {};
  const sandbox = directory.get(task.sandboxId);
  const slot = sandbox === undefined ? undefined : slotOf(sandbox);
  return slot === undefined ? {} : { agentServerUrl: sandboxUrl(config.gateway, slot) };
}

/** A start that failed leaves nothing behind: neither a conversation that cannot be opened nor a sandbox that costs. */
async function takeBack({ db, control }: WorkerOptions, task: StartTask): Promise<void> {
  const { conversationId, sandboxId, madeSandbox } = task;
  await db.prisma.$transaction(deleteHistory(db.prisma, conversationId));
  if (madeSandbox && sandboxId !== null) await control.remove(sandboxId);
}
