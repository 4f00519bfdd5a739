import { z } from 'zod';
import { list, logLevel, port, readConfig, secret, url } from '../process/config.js';
import { version } from '../process/root.js';

const schema = z.object({
  SANDLOT_SECRET: secret(),
  /** `*`: all namespaces (needs ClusterRoles). */
  SANDLOT_NAMESPACE: z.string().default('default'),
  SANDLOT_SANDBOX_IMAGE: z.string().default(`sandlot/sandbox:${version()}`),
  SANDLOT_API_URL: url().optional(),
  SANDLOT_UI_ORIGINS: list().default([]),
  /** Where the Lease of the leader election is, when all namespaces are watched. */
  POD_NAMESPACE: z.string().optional(),
  POD_NAME: z.string().optional(),
  SANDLOT_HEALTH_HOST: z.string().default('127.0.0.1'),
  SANDLOT_HEALTH_PORT: port().default(0),
  LOG_LEVEL: logLevel().default('info'),
});

export type OperatorConfig = Readonly<z.infer<typeof schema>>;

export const readOperatorConfig = (env: NodeJS.ProcessEnv): OperatorConfig => readConfig(schema, env);
