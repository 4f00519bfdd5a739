/** How many requests a minute are too many, as the environment says it. */
import { z } from 'zod';
import { isRange, list, whole } from '../../process/config.js';

export interface RateSettings {
  /** Requests a minute; 0: any number. Of a user, by login or key. */
  perUser: number;
  /** Of a user at the Runtime API: there one key speaks for all users of another app server. */
  perRuntimeUser: number;
  /** Of a client's address, on routes where nobody is known yet. */
  perAddress: number;
  /** Addresses and ranges of proxies whose X-Forwarded-For is believed. */
  trustedProxies: readonly string[];
  /** One count for all API servers; undefined: each counts for itself. */
  redisUrl: string | undefined;
}

const REDIS_URL = /^rediss?:\/\/./;
const rate = () => whole(0, 10_000_000).optional();

export const rateShape = {
  SANDLOT_REQUESTS_PER_USER: rate(),
  SANDLOT_REQUESTS_PER_RUNTIME_USER: rate(),
  SANDLOT_REQUESTS_PER_ADDRESS: rate(),
  SANDLOT_TRUSTED_PROXIES: list()
    .refine((entries) => entries.every(isRange), 'must be a comma-separated list of addresses and ranges: 10.0.0.0/8')
    .default([]),
  SANDLOT_REDIS_URL: z.string().regex(REDIS_URL, 'must be redis://… or rediss://…').optional(),
};

/** Limits of an installation with a login; the one user of single-user mode has none. */
const DEFAULTS = { perUser: 1200, perRuntimeUser: 12_000, perAddress: 1200 };
const NONE = { perUser: 0, perRuntimeUser: 0, perAddress: 0 };

export function ratesOf(read: z.infer<z.ZodObject<typeof rateShape>>, mode: 'single-user' | 'oidc'): RateSettings {
  const usual = mode === 'oidc' ? DEFAULTS : NONE;
  return {
    perUser: read.SANDLOT_REQUESTS_PER_USER ?? usual.perUser,
    perRuntimeUser: read.SANDLOT_REQUESTS_PER_RUNTIME_USER ?? usual.perRuntimeUser,
    perAddress: read.SANDLOT_REQUESTS_PER_ADDRESS ?? usual.perAddress,
    trustedProxies: read.SANDLOT_TRUSTED_PROXIES,
    redisUrl: read.SANDLOT_REDIS_URL,
  };
}
