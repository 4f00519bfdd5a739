/** Who asks. A request is a user's or nobody's; everything of a user hangs on `id`. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { PrismaClient } from '../db/generated/client.js';
import { ownedBy, type OwnedDb } from '../db/owned.js';

export interface User {
  /** Owner of rows and of Sandboxes (`spec.owner`). */
  id: string;
  /** What `created_by_user_id` says: null in single-user mode, as clients of that mode expect. */
  shown: string | null;
}

/** Finds the user of a request or throws ApiError. */
export type Identify = (request: FastifyRequest) => User | Promise<User>;

export const LOCAL_USER: User = { id: 'local', shown: null };

/** Single-user mode: whoever gets past the guard is the one local user. */
export const identifyLocalUser: Identify = () => LOCAL_USER;

declare module 'fastify' {
  interface FastifyRequest {
    user: User;
    /** The user's own rows. */
    owned: OwnedDb;
  }
}

const MAX_CLIENTS = 1000;

/** Gives every request of this scope its user and the database as that user sees it. */
export function requireUser(app: FastifyInstance, prisma: PrismaClient, identify: Identify): void {
  const clients = new Map<string, OwnedDb>();
  const clientOf = (id: string): OwnedDb => {
    const known = clients.get(id);
    if (known !== undefined) return known;
    if (clients.size >= MAX_CLIENTS) clients.clear();
    const made = ownedBy(prisma, id);
    clients.set(id, made);
    return made;
  };
  app.decorateRequest('user', null as unknown as User);
  app.decorateRequest('owned', null as unknown as OwnedDb);
  app.addHook('onRequest', async (request) => {
    request.user = await identify(request);
    request.owned = clientOf(request.user.id);
  });
}
