/** For administrators (`x-sandlot-needs: admin`): users, their sandboxes and API keys. They see no conversation and no secret. */
import { z } from 'zod';
import { ALL_SESSIONS } from '../../contracts/tokens.js';
import type { Sandbox } from '../../contracts/resources.js';
import type { Prisma, User as UserRow } from '../db/generated/client.js';
import { ownedBy } from '../db/owned.js';
import type { Deps } from '../deps.js';
import type { Api } from '../http/schema.js';
import { ApiError } from '../http/errors.js';
import { pageOf, readCursor } from '../http/page.js';
import { isoZ } from '../http/times.js';
import { limit, pageId } from '../http/validate.js';
import { createdAt, statusOf } from '../sandboxes/status.js';
import { shownKey } from './keys.js';

const id = z.string().max(253);
const userPath = z.object({ user_id: id });
const sandboxPath = userPath.extend({ sandbox_id: id });
const keyPath = userPath.extend({ key_id: id });
const searchQuery = z.object({ query: z.string().trim().max(200).optional(), page_id: pageId, limit: limit(20) });
const MAX_KEYS = 100;

export function adminRoutes(app: Api, deps: Deps): void {
  const { directory, control, clock, login } = deps;
  const { prisma } = deps.db;
  const find = async (userId: string): Promise<UserRow> => {
    const row = await prisma.user.findUnique({ where: { id: userId } });
    if (row === null) throw new ApiError('user_not_found');
    return row;
  };
  const sandboxOf = (userId: string, sandboxId: string): Sandbox => {
    const sandbox = directory.get(sandboxId);
    if (sandbox === undefined || sandbox.spec.owner !== userId) throw new ApiError('not_found');
    return sandbox;
  };
  const pauseAll = async (userId: string): Promise<number> => {
    const running = directory.ownedBy(userId).filter(isRunning);
    for (const { metadata } of running) await control.setRunState(metadata.name, 'Paused').catch(ifGone);
    return running.length;
  };
  const show = (row: UserRow, keys: number) => shown(row, { sandboxes: directory.ownedBy(row.id), keys });

  app.get('/admin/users/search', { schema: { querystring: searchQuery } }, async ({ query }) => {
    const after = readCursor(query.page_id, 2);
    const rows = await prisma.user.findMany({
      where: { AND: [matching(query.query), after === undefined ? {} : olderThan(after[0] ?? '', after[1] ?? '')] },
      orderBy: [{ createdAt: 'desc' }, { id: 'desc' }],
      take: query.limit + 1,
    });
    const page = pageOf(rows, query.limit, (row) => [row.createdAt.toISOString(), row.id]);
    const keys = await prisma.apiKey.groupBy({
      by: ['ownerId'],
      where: { ownerId: { in: page.items.map((row) => row.id) } },
      _count: true,
    });
    const count = new Map(keys.map(({ ownerId, _count }) => [ownerId, _count]));
    return { ...page, items: page.items.map((row) => show(row, count.get(row.id) ?? 0)) };
  });

  // Nothing of the user's goes on: logins, keys, shares, and what runs. Repeated, it does what a first time could not.
  app.post('/admin/users/:user_id/disable', { schema: { params: userPath } }, async ({ params, user }) => {
    const { id: userId, disabledAt } = await find(params.user_id);
    if (userId === user.id) throw new ApiError('own_user');
    const data = { disabledAt: disabledAt ?? new Date(clock.now()) };
    const row = await prisma.user.update({ where: { id: userId }, data });
    await login?.sessions.endOfUser(userId);
    await login?.endings.tell(userId, [ALL_SESSIONS]);
    await pauseAll(userId);
    return show(row, await prisma.apiKey.count({ where: { ownerId: userId } }));
  });

  app.post('/admin/users/:user_id/enable', { schema: { params: userPath } }, async ({ params }) => {
    const { id: userId } = await find(params.user_id);
    const row = await prisma.user.update({ where: { id: userId }, data: { disabledAt: null } });
    return show(row, await prisma.apiKey.count({ where: { ownerId: userId } }));
  });

  app.get('/admin/users/:user_id/sandboxes', { schema: { params: userPath } }, async ({ params }) => {
    const { id: userId } = await find(params.user_id);
    return { items: directory.ownedBy(userId).map(shownSandbox) };
  });

  app.post('/admin/users/:user_id/sandboxes/pause', { schema: { params: userPath } }, async ({ params }) => {
    const { id: userId } = await find(params.user_id);
    return { paused: await pauseAll(userId) };
  });

  app.post(
    '/admin/users/:user_id/sandboxes/:sandbox_id/pause',
    { schema: { params: sandboxPath } },
    async ({ params }) => {
      const { metadata } = sandboxOf(params.user_id, params.sandbox_id);
      return shownSandbox(await control.setRunState(metadata.name, 'Paused'));
    },
  );

  // With its workspace; the history of its conversations stays.
  app.delete('/admin/users/:user_id/sandboxes/:sandbox_id', { schema: { params: sandboxPath } }, async ({ params }) => {
    const { metadata } = sandboxOf(params.user_id, params.sandbox_id);
    await control.remove(metadata.name);
    return { success: true };
  });

  app.get('/admin/users/:user_id/keys', { schema: { params: userPath } }, async ({ params }) => {
    const { id: userId } = await find(params.user_id);
    const orderBy = [{ createdAt: 'desc' as const }, { id: 'asc' as const }];
    const rows = await ownedBy(prisma, userId).apiKey.findMany({ orderBy, take: MAX_KEYS });
    return { items: rows.map(shownKey) };
  });

  app.delete('/admin/users/:user_id/keys/:key_id', { schema: { params: keyPath } }, async ({ params }) => {
    const { count } = await ownedBy(prisma, params.user_id).apiKey.deleteMany({ where: { id: params.key_id } });
    if (count === 0) throw new ApiError('key_not_found');
    return { success: true };
  });
}

const isRunning = (sandbox: Sandbox): boolean => sandbox.spec.runState !== 'Paused';

function ifGone(error: unknown): undefined {
  if (error instanceof ApiError && error.code === 'not_found') return undefined;
  throw error;
}

function shown(row: UserRow, has: { sandboxes: Sandbox[]; keys: number }): Record<string, unknown> {
  const time = (at: Date | null) => (at === null ? null : isoZ(at));
  return {
    id: row.id,
    email: row.email,
    name: row.name,
    roles: row.roles,
    created_at: isoZ(row.createdAt),
    last_login_at: time(row.lastLoginAt),
    disabled_at: time(row.disabledAt),
    sandboxes: { total: has.sandboxes.length, running: has.sandboxes.filter(isRunning).length },
    api_keys: has.keys,
  };
}

function shownSandbox(sandbox: Sandbox): Record<string, unknown> {
  return { id: sandbox.metadata.name, status: statusOf(sandbox), created_at: createdAt(sandbox) };
}

function matching(text: string | undefined): Prisma.UserWhereInput {
  if (text === undefined || text === '') return {};
  const contains = { contains: text, mode: 'insensitive' as const };
  return { OR: [{ email: contains }, { name: contains }, { id: text }] };
}

function olderThan(time: string, userId: string): Prisma.UserWhereInput {
  const createdAt = new Date(time);
  if (Number.isNaN(createdAt.getTime())) return {};
  return { OR: [{ createdAt: { lt: createdAt } }, { createdAt, id: { lt: userId } }] };
}
