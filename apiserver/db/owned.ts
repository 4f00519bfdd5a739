/**
 * The one mechanism that keeps users apart: a client whose every query carries the owner. Routes get nothing else, so a
 * forgotten `where` cannot leak a row. Raw SQL and the users table are not to be had through it.
 */
import type { Prisma, PrismaClient } from './generated/client.js';

/** Models without the users table, and no way around the scope. */
export type OwnedDb = Pick<
  PrismaClient,
  | 'apiKey'
  | 'session'
  | 'settings'
  | 'secret'
  | 'providerToken'
  | 'conversation'
  | 'share'
  | 'startTask'
  | 'event'
  | 'pendingMessage'
>;

type Args = Record<string, unknown>;

const withOwner = (value: unknown, ownerId: string): unknown =>
  Array.isArray(value) ? value.map((row: Args) => ({ ...row, ownerId })) : { ...(value as Args), ownerId };

/** Adds the owner to what an operation looks for and to what it writes. Throws for an operation that it does not know. */
export function scopeArgs(operation: string, args: Args, ownerId: string): Args {
  const where = { where: { ...(args.where as Args | undefined), ownerId } };
  switch (operation) {
    case 'create':
    case 'createMany':
    case 'createManyAndReturn':
      return { ...args, data: withOwner(args.data, ownerId) };
    case 'upsert':
      return { ...args, ...where, create: withOwner(args.create, ownerId), update: stripOwner(args.update) };
    case 'update':
    case 'updateMany':
    case 'updateManyAndReturn':
      return { ...args, ...where, data: stripOwner(args.data) };
    case 'findUnique':
    case 'findUniqueOrThrow':
    case 'findFirst':
    case 'findFirstOrThrow':
    case 'findMany':
    case 'delete':
    case 'deleteMany':
    case 'count':
    case 'aggregate':
    case 'groupBy':
      return { ...args, ...where };
    default:
      throw new Error(`operation ${operation} has no owner scope`);
  }
}

/** A row never changes hands through the scope. */
function stripOwner(data: unknown): Args {
  const { ownerId: _owner, ...rest } = data as Args;
  return rest;
}

export function ownedBy(prisma: PrismaClient, ownerId: string): OwnedDb {
  const query = ({ operation, args, query: run }: Call) => run(scopeArgs(operation, args, ownerId));
  const scoped = prisma.$extends({ query: { $allModels: { $allOperations: query as never } } });
  return scoped as unknown as OwnedDb;
}

interface Call {
  operation: string;
  args: Args;
  query: (args: Args) => Prisma.PrismaPromise<unknown>;
}
