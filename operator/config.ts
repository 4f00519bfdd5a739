import { z } from 'zod';
import { flag, list, logLevel, numbersByName, port, readConfig, secret, url, whole } from '../process/config.js';
import { version } from '../process/root.js';
import type { LimitPolicy } from './limits/place.js';
import { MOST_SHARDS, parseShard, WHOLE } from './shard.js';

const shard = () =>
  z.string().transform((text, context) => {
    const parsed = parseShard(text);
    if (parsed !== undefined) return parsed;
    context.addIssue({ code: 'custom', message: `must be like 0/2, the first of two, of ${MOST_SHARDS} at most` });
    return z.NEVER;
  });

const schema = z
  .object({
    SANDLOT_SECRET: secret(),
    /** `*`: all namespaces (needs ClusterRoles). */
    SANDLOT_NAMESPACE: z.string().default('default'),
    SANDLOT_SHARD: shard().default(WHOLE),
    SANDLOT_SANDBOX_IMAGE: z.string().default(`sandlot/sandbox:${version()}`),
    SANDLOT_API_URL: url().optional(),
    SANDLOT_UI_ORIGINS: list().default([]),
    /** Where the Lease of the leader election is, when all namespaces are watched. */
    POD_NAMESPACE: z.string().optional(),
    POD_NAME: z.string().optional(),
    SANDLOT_HEALTH_HOST: z.string().default('127.0.0.1'),
    SANDLOT_HEALTH_PORT: port().default(0),
    /** Running sandboxes at a time; 0: any number. */
    SANDLOT_MAX_RUNNING_PER_OWNER: whole(0, 1_000_000).default(0),
    SANDLOT_MAX_RUNNING_PER_NAMESPACE: whole(0, 1_000_000).default(0),
    /** Of single owners, instead of the general limit. */
    SANDLOT_MAX_RUNNING_OF_OWNERS: numbersByName().default(new Map()),
    SANDLOT_OVER_OWNER_LIMIT: z.enum(['Refuse', 'PauseLeastActive']).default('Refuse'),
    LOG_LEVEL: logLevel().default('info'),
    LOG_JSON: flag().default(false),
  })
  .refine(({ SANDLOT_SHARD: { count }, SANDLOT_MAX_RUNNING_PER_NAMESPACE: limit }) => count === 1 || limit === 0, {
    path: ['SANDLOT_MAX_RUNNING_PER_NAMESPACE'],
    message:
      'cannot be held by several shards, each of which sees its own sandboxes: use a ResourceQuota with count/pods',
  });

export function limitPolicyOf(config: OperatorConfig): LimitPolicy {
  return {
    perOwner: config.SANDLOT_MAX_RUNNING_PER_OWNER || undefined,
    perNamespace: config.SANDLOT_MAX_RUNNING_PER_NAMESPACE || undefined,
    ofOwners: config.SANDLOT_MAX_RUNNING_OF_OWNERS,
    overOwnerLimit: config.SANDLOT_OVER_OWNER_LIMIT,
  };
}

export type OperatorConfig = Readonly<z.infer<typeof schema>>;

export const readOperatorConfig = (env: NodeJS.ProcessEnv): OperatorConfig => readConfig(schema, env);
