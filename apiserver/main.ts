/** The API server as a program: configuration, clients, port, signals. Wiring of the parts is in build.ts. */
import { join } from 'node:path';
import type { AddressInfo } from 'node:net';
import { createClient, KubeConfigError, loadKubeConfig } from '../kube/client.js';
import { createKubeMetrics } from '../kube/metrics.js';
import { systemClock } from '../process/clock.js';
import { ConfigError } from '../process/config.js';
import { startHealth } from '../process/health.js';
import { createMetrics } from '../process/metrics.js';
import { packageRoot, version } from '../process/root.js';
import { runProgram, type Running } from '../process/run.js';
import type { Logger } from '../process/log.js';
import { buildApiServer } from './build.js';
import { readApiConfig, type ApiConfig } from './config.js';
import { FolderInUseError } from './db/lock.js';
import { MigrationError } from './db/migrate.js';
import { openDatabase } from './db/open.js';

export const usage = `sandlot apiserver: the REST API, the database and the web UI

Environment:
  SANDLOT_SECRET               the installation's secret, at least 32 characters (required)
  SANDLOT_SECRET_OLD           those before, newest first, one a line, while something is still sealed with them
  SANDLOT_DATA_KEYS            keys that seal stored secrets in place of SANDLOT_SECRET; the first seals, the others still
                               open (one a line, each at least 32 characters): see docs/data.md
  SANDLOT_IDENTITY             single-user (no login, one local user, loopback only) or oidc (required)
  SANDLOT_PUBLIC_URL           where browsers reach this server: https://sandlot.example.com (required with oidc)
  SANDLOT_OIDC_ISSUER, SANDLOT_OIDC_CLIENT_ID, SANDLOT_OIDC_CLIENT_SECRET, SANDLOT_OIDC_SCOPES,
  SANDLOT_OIDC_GROUPS_CLAIMS, SANDLOT_OIDC_ALLOWED_GROUPS, SANDLOT_OIDC_ALLOWED_EMAILS, SANDLOT_OIDC_ADMIN_GROUPS
                               the provider, and whom it lets in: see docs/identity.md
  SANDLOT_SESSION_IDLE_MINUTES, SANDLOT_SESSION_MAX_HOURS
                               when a browser has to log in again: unused (720), in any case (168)
  SANDLOT_REQUESTS_PER_USER, SANDLOT_REQUESTS_PER_RUNTIME_USER, SANDLOT_REQUESTS_PER_ADDRESS
                               requests a minute at most, 0 for any number (1200, 12000, 1200; 0 in single-user mode)
  SANDLOT_TRUSTED_PROXIES      whose X-Forwarded-For is believed: 10.0.0.0/8,… (nobody's)
  SANDLOT_REDIS_URL            redis:// or rediss://: several API servers count requests together (each for itself)
  SANDLOT_SINGLE_USER_ANYWHERE everyone-who-reaches-it-is-the-user: single-user mode on other addresses than loopback
  SANDLOT_HOST, SANDLOT_PORT   where to listen (127.0.0.1, 3000)
  SANDLOT_WEBHOOK_HOST, SANDLOT_WEBHOOK_PORT  a port of its own for what sandboxes call, and only that (0.0.0.0, none)
  SANDLOT_UI_ORIGINS           origins of other frontends that may call with an API key: https://canvas.example.com,… (none)
  SANDLOT_API_URL              base under which sandboxes reach this server, for the tools that it gives to agents (none)
  DATABASE_URL                 pglite:<folder> (embedded, one process) or postgresql://… (pglite:.sandlot/database)
  SANDLOT_DATABASE_CONNECTIONS connections to a PostgreSQL server at most (10)
  SANDLOT_NAMESPACE            namespace of the sandboxes (default)
  SANDLOT_SANDBOX_TEMPLATE     SandboxTemplate of new sandboxes (the operator's built-in shape)
  SANDLOT_START_TIMEOUT_SECONDS how long a start waits for its sandbox (300)
  SANDLOT_CONVERSATION_EVENTS, SANDLOT_CONVERSATION_MIB, SANDLOT_USER_MIB
                               stored history at most, of a conversation and of a user (1000000, 1024, 51200)
  SANDLOT_ARCHIVE, SANDLOT_ARCHIVE_DAYS  where deleted conversations are kept, and how long (nowhere, 30): file:///folder,
                               s3://bucket[/prefix] or azure://container[/prefix]; see docs/data.md
  SANDLOT_ARCHIVE_ENDPOINT, SANDLOT_ARCHIVE_REGION, SANDLOT_ARCHIVE_AZURE_CONNECTION_STRING
                               of S3 servers that are not Amazon's; of the Azure storage account
  SANDLOT_GATEWAY_DOMAIN, SANDLOT_GATEWAY_PROTOCOL, SANDLOT_GATEWAY_FORM
                               how browsers reach sandboxes (sandbox.localhost:3001, http, host|sibling|path)
  SANDLOT_MAX_RUNNING_PER_OWNER, SANDLOT_MAX_RUNNING_OF_OWNERS, SANDLOT_OVER_OWNER_LIMIT
                               the operator's limits, for a refusal before anything is made (0, {}, Refuse)
  SANDLOT_RUNTIME_CLASSES      RuntimeClasses by the names that callers of the Runtime API use: sysbox-runc=kata,gvisor=
                               (an empty one leaves the template's; unnamed ones are taken as they are)
  SANDLOT_RUNTIME_REGISTRY     where their images come from, for /registry_prefix and /image_exists (ghcr.io/owner)
  SANDLOT_GIT_HOSTS            git providers inside the network that users may name (with oidc; public ones always):
                               git.example.com,*.corp.example,10.20.0.0/16 (none)
  SANDLOT_HEALTH_HOST, SANDLOT_HEALTH_PORT  /healthz, /readyz, /metrics (127.0.0.1, any free port)
  KUBECONFIG                   the cluster; inside one, its service account
  LOG_LEVEL                    fatal, error, warn, info, debug, trace (info)
  LOG_JSON                     lines as OpenHands' programs write them: message, severity, timestamp (false)
A name with _FILE at its end gives a file that holds the value.`;

export async function main(env: NodeJS.ProcessEnv): Promise<void> {
  await runProgram({
    name: 'apiserver',
    env,
    start: async ({ log }) => {
      const config = readApiConfig(env);
      return await start(config, { env, log }).catch((error: unknown) => {
        throw explained(error, config);
      });
    },
  });
}

async function start(config: ApiConfig, { env, log }: { env: NodeJS.ProcessEnv; log: Logger }): Promise<Running> {
  const registry = createMetrics('apiserver');
  const client = createClient(loadKubeConfig(env), {
    userAgent: `sandlot-apiserver/${version()}`,
    metrics: createKubeMetrics(registry),
  });
  const db = await openDatabase({ url: config.databaseUrl, log, maxConnections: config.databaseConnections });
  const server = await buildApiServer({
    config,
    db,
    client,
    clock: systemClock,
    log,
    registry,
    webRoot: join(packageRoot(), 'dist', 'web'),
  });
  await server.start();
  let draining = false;
  const ready = () => (draining ? ['draining'] : server.notReady());
  const health = await startHealth({ ...config.health, registry, ready });
  await server.app.listen({ host: config.host, port: config.port });
  if (config.webhooks !== undefined) await server.sandboxApp.listen(config.webhooks);
  const { port } = server.app.server.address() as AddressInfo;
  log.info({ host: config.host, port, healthPort: health.port, webhooks: config.webhooks }, 'API server listens');
  return {
    announce: { port, healthPort: health.port },
    async drain() {
      draining = true;
      // Starts in progress end their streams; whoever is next goes on with them.
      await server.stop();
      await Promise.all([server.app.close(), server.sandboxApp.close()]);
    },
    async close() {
      await health.close();
      await db.close();
      await client.close();
    },
  };
}

/** What the person who starts the program can do something about becomes a sentence about a setting. */
function explained(error: unknown, { host, port, webhooks }: ApiConfig): unknown {
  if (error instanceof FolderInUseError || error instanceof MigrationError)
    return new ConfigError([`DATABASE_URL: ${error.message}`]);
  if (error instanceof KubeConfigError) return new ConfigError([`KUBECONFIG: ${error.message}`]);
  const { code, port: taken } = error as NodeJS.ErrnoException & { port?: number };
  if (code === 'EADDRINUSE') {
    const [name, where] =
      taken === webhooks?.port ? ['SANDLOT_WEBHOOK_PORT', webhooks] : ['SANDLOT_PORT', { host, port }];
    return new ConfigError([`${name}: ${where?.host}:${where?.port} is taken by another program`]);
  }
  return error;
}
