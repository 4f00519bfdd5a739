/** Start tasks in the database, and as clients see them. */
import type { StartTask } from '../db/generated/client.js';
import type { Database } from '../db/open.js';
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
  takeOver(worker: string, limit: number): Promise<StartTask[]>;
  renew(worker: string, ids: string[]): Promise<void>;
  /** Writes while the task is still this worker's; undefined when it is deleted or taken over. */
  write(worker: string, id: string, change: Partial<StartTask>, now: Date): Promise<StartTask | undefined>;
  forgetFailures(before: Date): Promise<void>;
  /** Gives the tasks back, so that another process may go on at once. */
  release(worker: string, ids: string[]): Promise<void>;
  /** The embedded database has one process: whatever was leased belongs to one that is dead. */
  releaseAll(): Promise<void>;
}

// By the database's clock, so that the clocks of replicas need not agree; SKIP LOCKED, so that they never wait for each other.
const TAKE_OVER = `
UPDATE start_tasks SET worker = $1, lease_until = now() + $2 * interval '1 millisecond' WHERE id IN (
  SELECT id FROM start_tasks WHERE status <> ALL ($3::text[]) AND (lease_until IS NULL OR lease_until < now())
  ORDER BY created_at LIMIT $4 FOR UPDATE SKIP LOCKED
) RETURNING id`;
const RENEW = `
UPDATE start_tasks SET lease_until = now() + $2 * interval '1 millisecond'
WHERE id = ANY ($3::text[]) AND worker = $1 AND status <> ALL ($4::text[])`;

export function taskStore({ prisma, query }: Pick<Database, 'prisma' | 'query'>): TaskStore {
  const open = { status: { notIn: FINAL as string[] } };
  return {
    async takeOver(worker, limit) {
      const taken = await query<{ id: string }>(TAKE_OVER, [worker, LEASE_MS, FINAL, limit]);
      if (taken.length === 0) return [];
      const where = { id: { in: taken.map(({ id }) => id) }, worker };
      return await prisma.startTask.findMany({ where, orderBy: { createdAt: 'asc' } });
    },
    async renew(worker, ids) {
      if (ids.length > 0) await query(RENEW, [worker, LEASE_MS, ids, FINAL]);
    },
    async write(worker, id, change, now) {
      const data = { ...change, ...(change.status === undefined ? {} : { updatedAt: now }) } as object;
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
