/** Who asks. A request is a user's or nobody's; everything of a user hangs on `id`. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { PrismaClient } from '../db/generated/client.js';
import { ownedBy, type OwnedDb } from '../db/owned.js';
import { ApiError } from '../http/errors.js';
import type { RateHook } from '../rates/limit.js';
import { ADMIN, allows, needOf, type Need, type Rights } from './scopes.js';

export interface User extends Rights {
  /** Owner of rows and of Sandboxes (`spec.owner`). */
  id: string;
  /** What `created_by_user_id` says: null in single-user mode, as clients of that mode expect. */
  shown: string | null;
  /** The API key or session that spoke for the user; undefined in single-user mode. */
  credential?: string;
}

/** Finds the user of a request or throws ApiError. May renew a cookie on the reply. */
export type Identify = (request: FastifyRequest, reply: FastifyReply) => User | Promise<User>;

export const LOCAL_USER: User = { id: 'local', shown: null, via: 'local', roles: [ADMIN], scopes: ['full'] };

declare module 'fastify' {
  interface FastifyRequest {
    user: User;
    /** The user's own rows. */
    owned: OwnedDb;
  }
  interface FastifyContextConfig {
    /** What this route asks of its caller; one without it is open to everybody. `sandbox`: the session key of one. */
    need?: Need | 'sandbox';
  }
}

const MAX_CLIENTS = 1000;

export interface UserScope {
  prisma: PrismaClient;
  identify: Identify;
  /** Counts the user's requests. */
  limit: RateHook;
  /** Of routes that do not say what they need. */
  need?: Need;
}

/** Gives every request of this scope its user, who may do what the route needs, and the database as that user sees it. */
export function requireUser(app: FastifyInstance, { prisma, identify, limit, need }: UserScope): void {
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
  app.addHook('onRoute', (route) => {
    const methods = Array.isArray(route.method) ? route.method : [route.method];
    route.config = { ...route.config, need: route.config?.need ?? need ?? needOf(methods[0] ?? 'GET') };
  });
  app.addHook('onRequest', async (request, reply) => {
    const user = await identify(request, reply);
    request.user = user;
    request.owned = clientOf(user.id);
    await limit(request, reply);
    const { need: asked } = request.routeOptions.config;
    if (asked === undefined || asked === 'sandbox' || !allows(user, asked))
      throw new ApiError(user.via === 'key' ? 'key_scope' : 'not_allowed');
  });
}
