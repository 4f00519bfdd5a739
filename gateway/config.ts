import { z } from 'zod';
import { flag, logLevel, origins, port, readConfig, secret, whole } from '../process/config.js';

const schema = z.object({
  SANDLOT_SECRET: secret(),
  SANDLOT_NAMESPACE: z.string().default('default'),
  SANDLOT_HOST: z.string().default('127.0.0.1'),
  SANDLOT_PORT: port().default(3001),
  SANDLOT_HEALTH_HOST: z.string().default('127.0.0.1'),
  SANDLOT_HEALTH_PORT: port().default(0),
  SANDLOT_GATEWAY_DOMAIN: z
    .string()
    .regex(/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?$/, 'must be a lower-case host name, with port where needed')
    .default('sandbox.localhost:3001'),
  SANDLOT_GATEWAY_PROTOCOL: z.enum(['http', 'https'], { error: 'must be http or https' }).default('http'),
  SANDLOT_GATEWAY_FORM: z.enum(['host', 'sibling', 'path'], { error: 'must be host, sibling or path' }).default('host'),
  SANDLOT_UI_ORIGINS: origins().default([]),
  SANDLOT_TRUST_PROXY: flag().default(false),
  SANDLOT_ACCESS_LOG: flag().default(true),
  SANDLOT_DRAIN_SECONDS: whole(0, 20).default(3),
  SANDLOT_MAX_CONNECTIONS: whole(1, 1_000_000).default(20_000),
  SANDLOT_MAX_REQUESTS_PER_SANDBOX: whole(1, 100_000).default(512),
  SANDLOT_MAX_STREAMS_PER_SANDBOX: whole(1, 100_000).default(256),
  SANDLOT_MAX_REQUESTS_PER_USER: whole(1, 100_000).default(2048),
  SANDLOT_MAX_STREAMS_PER_USER: whole(1, 100_000).default(1024),
  LOG_LEVEL: logLevel().default('info'),
  LOG_JSON: flag().default(false),
});

export type GatewayConfig = Readonly<z.infer<typeof schema>>;

export const usage = `sandlot gateway: carries browser and API traffic to sandboxes

  SANDLOT_SECRET                      secret of the installation, at least 32 characters (required; or _FILE)
  SANDLOT_NAMESPACE                   namespace of the sandboxes (default)
  KUBECONFIG                          the cluster, when not run inside one
  SANDLOT_HOST, SANDLOT_PORT          where to listen (127.0.0.1, 3001)
  SANDLOT_HEALTH_HOST, SANDLOT_HEALTH_PORT   /healthz, /readyz and /metrics (127.0.0.1, 0 for any)
  SANDLOT_GATEWAY_DOMAIN              sandboxes are <slot>.<domain> (sandbox.localhost:3001)
  SANDLOT_GATEWAY_PROTOCOL            http or https, as browsers see it (http)
  SANDLOT_GATEWAY_FORM                host, sibling or path: how addresses are handed out (host); all are understood
  SANDLOT_UI_ORIGINS                  origins of the UI: they may call and embed sandboxes
  SANDLOT_TRUST_PROXY                 true behind an ingress: keep its X-Forwarded-For (false)
  SANDLOT_ACCESS_LOG                  one line per request on standard output (true)
  SANDLOT_DRAIN_SECONDS               how long to finish requests after SIGTERM (3)
  SANDLOT_MAX_CONNECTIONS             of clients (20000)
  SANDLOT_MAX_REQUESTS_PER_SANDBOX    at a time (512)
  SANDLOT_MAX_STREAMS_PER_SANDBOX     WebSockets and event streams at a time (256)
  SANDLOT_MAX_REQUESTS_PER_USER       at a time, to all sandboxes of one owner (2048)
  SANDLOT_MAX_STREAMS_PER_USER        at a time, to all sandboxes of one owner (1024)
  LOG_LEVEL                           info
  LOG_JSON                            lines as OpenHands' programs write them: message, severity, timestamp (false)
`;

/** Throws ConfigError. */
export function readGatewayConfig(env: NodeJS.ProcessEnv): GatewayConfig {
  return readConfig(schema, env);
}
