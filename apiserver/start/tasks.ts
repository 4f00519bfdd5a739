/** Start tasks in the database, and as clients see them. */
import type { PrismaClient, StartTask } from '../db/generated/client.js';
import { isoNaive, isoZ } from '../http/times.js';

export const STATUSES = [
  'WORKING',
  'WAITING_FOR_SANDBOX',
  'PREPARING_REPOSITORY',
  'RUNNING_SETUP_SCRIPT',
  'SETTING_UP_GIT_HOOKS',
  'SETTING_UP_SKILLS',
  'STARTING_CONVERSATION',
  'READY',
] as const;
export type StartStatus = (typeof STATUSES)[number] | 'ERROR';
export const FINAL: StartStatus[] = ['READY', 'ERROR'];

/** The conversation is told at READY only: before, it is not there to be opened. */
export function shownTask(
  task: StartTask,
  shownUser: string | null,
  options: { fresh: boolean },
): Record<string, unknown> {
  const time = options.fresh ? isoZ : isoNaive;
  return {
    id: task.id,
    created_by_user_id: shownUser,
    status: task.status,
    detail: task.detail,
    app_conversation_id: task.status === 'READY' ? task.conversationId : null,
    sandbox_id: task.sandboxId,
    agent_server_url: task.agentServerUrl,
    request: task.request,
    created_at: time(task.createdAt),
    updated_at: time(task.updatedAt),
  };
}

export const LEASE_MS = 30_000;

export interface TaskStore {
  /** Takes tasks whose worker is gone, at most `limit`. */
  takeOver(worker: string, now: Date, limit: number): Promise<StartTask[]>;
  renew(worker: string, ids: string[], now: Date): Promise<void>;
  /** Writes while the task is still this worker's; undefined when it is deleted or taken over. */
  write(worker: string, id: string, change: Partial<StartTask>, now: Date): Promise<StartTask | undefined>;
  forgetFailures(before: Date): Promise<void>;
  /** Gives the tasks back, so that another process may go on at once. */
  release(worker: string, ids: string[]): Promise<void>;
  /** The embedded database has one process: whatever was leased belongs to one that is dead. */
  releaseAll(): Promise<void>;
}

export function taskStore(prisma: PrismaClient): TaskStore {
  const until = (now: Date) => new Date(now.getTime() + LEASE_MS);
  const open = { status: { notIn: FINAL as string[] } };
  return {
    async takeOver(worker, now, limit) {
      const free = { ...open, OR: [{ leaseUntil: null }, { leaseUntil: { lt: now } }] };
      const found = await prisma.startTask.findMany({ where: free, take: limit, orderBy: { createdAt: 'asc' } });
      const taken: StartTask[] = [];
      for (const { id } of found) {
        const { count } = await prisma.startTask.updateMany({
          where: { id, ...free },
          data: { worker, leaseUntil: until(now) },
        });
        const row = count === 1 ? await prisma.startTask.findUnique({ where: { id } }) : null;
        if (row !== null) taken.push(row);
      }
      return taken;
    },
    async renew(worker, ids, now) {
      await prisma.startTask.updateMany({
        where: { id: { in: ids }, worker, ...open },
        data: { leaseUntil: until(now) },
      });
    },
    async write(worker, id, change, now) {
      const data = {
        ...change,
        leaseUntil: until(now),
        ...(change.status === undefined ? {} : { updatedAt: now }),
      } as object;
      const [row] = await prisma.startTask.updateManyAndReturn({ where: { id, worker, ...open }, data });
      return row;
    },
    async forgetFailures(before) {
      await prisma.startTask.deleteMany({ where: { status: 'ERROR', updatedAt: { lt: before } } });
    },
    async release(worker, ids) {
      await prisma.startTask.updateMany({
        where: { id: { in: ids }, worker, ...open },
        data: { worker: null, leaseUntil: null },
      });
    },
    async releaseAll() {
      await prisma.startTask.updateMany({ where: open, data: { worker: null, leaseUntil: null } });
    },
  };
}
