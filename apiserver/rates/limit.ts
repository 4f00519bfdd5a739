/**
 * Too many requests a minute are refused with 429. A user is counted by who they are, so that people behind one address do not
 * use up each other's; an address counts only on routes where nobody is known yet. What sandboxes post, probes and what stays
 * open (a stream, a WebSocket) are never counted. Each API server counts for itself, or all together in Redis.
 */
import rateLimit, { normalizeIP } from '@fastify/rate-limit';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Counter, type Registry } from 'prom-client';
import type { Logger } from '../../process/log.js';
import { ApiError } from '../http/errors.js';
import { openRedis } from './redis.js';
import type { RateSettings } from './settings.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Requests of this route use up nobody's rate: streams, and what comes from servers. */
    uncounted?: true;
  }
}

/** A hook; throws ApiError 429. Those of a user run when the user is known. */
export type RateHook = (request: FastifyRequest, reply: FastifyReply) => Promise<void>;
export interface RateHooks {
  user: RateHook;
  runtimeUser: RateHook;
  address: RateHook;
}

const WINDOW_MS = 60_000;
/** Users and addresses that one process counts at a time; the one unseen for longest is forgotten. */
const MAX_COUNTED = 20_000;
const REDIS_PREFIX = 'sandlot-rate-';

type Kind = 'user' | 'runtime' | 'address';

export interface LimitOptions {
  rates: RateSettings | undefined;
  registry: Registry;
  log: Logger;
}

const pass: RateHook = async () => undefined;

export async function limitRates(app: FastifyInstance, { rates, registry, log }: LimitOptions): Promise<RateHooks> {
  if (rates === undefined) return { user: pass, runtimeUser: pass, address: pass };
  const redis = rates.redisUrl === undefined ? undefined : await openRedis(rates.redisUrl, log);
  if (redis !== undefined) app.addHook('onClose', async () => redis.disconnect());
  await app.register(rateLimit, {
    global: false,
    timeWindow: WINDOW_MS,
    cache: MAX_COUNTED,
    // A Redis that is away counts nothing: people go on working.
    ...(redis === undefined ? {} : { redis, nameSpace: REDIS_PREFIX, skipOnError: true }),
  });
  const refused = new Counter({
    name: 'sandlot_api_rate_limited_total',
    help: 'Requests refused because there were too many within a minute, by what was counted.',
    labelNames: ['counted'],
    registers: [registry],
  });
  const hook = (kind: Kind, max: number, keyOf: (request: FastifyRequest) => string): RateHook => {
    if (max === 0) return pass;
    const count = app.createRateLimit({ max, keyGenerator: (request: FastifyRequest) => `${kind}:${keyOf(request)}` });
    return async (request, reply) => {
      if (request.routeOptions.config.uncounted === true) return;
      const counted = await count(request);
      if (counted.isAllowed) return;
      const left = Math.max(1, counted.ttlInSeconds);
      reply.headers({
        'x-ratelimit-limit': counted.max,
        'x-ratelimit-remaining': counted.remaining,
        'x-ratelimit-reset': left,
      });
      if (!counted.isExceeded) return;
      refused.inc({ counted: kind });
      throw new ApiError('too_many_requests', { retryAfter: left });
    };
  };
  return {
    user: hook('user', rates.perUser, ({ user }) => user.id),
    runtimeUser: hook('runtime', rates.perRuntimeUser, ({ user }) => user.id),
    address: hook('address', rates.perAddress, ({ ip }) => normalizeIP(ip)),
  };
}
