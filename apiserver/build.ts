/** Wires the parts of the API server together: everything but environment, ports and signals. */
import type { Registry } from 'prom-client';
import type { KubeClient } from '../kube/client.js';
import type { Clock } from '../kube/types.js';
import type { Logger } from '../process/log.js';
import { createArchive } from './archive/archive.js';
import { createAgentHttp } from './agent/http.js';
import { createChecks } from './checks.js';
import { buildApp, buildSandboxApp } from './app.js';
import type { ApiConfig } from './config.js';
import { createBox } from './db/box.js';
import { createLeases } from './db/leases.js';
import type { Database } from './db/open.js';
import type { Deps } from './deps.js';
import { createGitDispatcher } from './git/reach.js';
import { buildIdentity } from './identity/build.js';
import { LOCAL_USER } from './identity/identity.js';
import { createCatchUp } from './ingest/catchup.js';
import { createIngest } from './ingest/ingest.js';
import { createLiveStatus } from './ingest/live.js';
import { createQuota, DEFAULT_LIMITS } from './ingest/quota.js';
import { createApiMetrics } from './metrics.js';
import { tellRoomMade } from './ingest/room.js';
import { createPendingDelivery } from './ingest/pending.js';
import { createImages } from './runtime/images.js';
import { createControl } from './sandboxes/control.js';
import { startDirectory } from './sandboxes/directory.js';
import { startTemplates } from './sandboxes/templates.js';
import { createStartWorker } from './start/worker.js';

export interface Outside {
  config: Deps['config'] & Pick<ApiConfig, 'namespace'> & Partial<Pick<ApiConfig, 'quota' | 'archive'>>;
  db: Database;
  client: KubeClient;
  clock: Clock;
  log: Logger;
  registry: Registry;
  webRoot?: string | undefined;
}

export interface ApiServer {
  app: Awaited<ReturnType<typeof buildApp>>;
  /** What sandboxes call, for a port of its own. */
  sandboxApp: Awaited<ReturnType<typeof buildSandboxApp>>;
  deps: Deps;
  /** Begins background work: unfinished starts, catching up, waiting messages. Resolves when requests can be served. */
  start(): Promise<void>;
  /** Why it should get no traffic now. */
  notReady(): string[];
  /** Ends background work; the database and the cluster's client stay open. */
  stop(): Promise<void>;
}

export async function buildApiServer(outside: Outside): Promise<ApiServer> {
  const { config, db, client, clock, log } = outside;
  const { prisma } = db;
  const { namespace } = config;
  const [secret] = config.secrets;
  const metrics = createApiMetrics(outside.registry);
  const box = createBox(config.dataKeys);
  const directory = startDirectory({ client, namespace, secret, clock, log });
  const templates = startTemplates({ client, namespace, clock, log });
  const control = createControl({ client, namespace, directory });
  const images = createImages({ prefix: config.runtimeRegistry });
  const gitDispatcher = createGitDispatcher(config.gitHosts ?? (config.identity.mode === 'single-user' ? 'any' : []));
  const agents = createAgentHttp();
  const checks = createChecks({ query: db.query, directory, clock, registry: outside.registry, log });
  const leases = createLeases(db);
  const archive =
    config.archive === undefined ? undefined : createArchive({ settings: config.archive, prisma, leases, clock, log });
  const quota = createQuota({ query: db.query, clock, limits: config.quota ?? DEFAULT_LIMITS });
  const ingest = createIngest({ prisma, query: db.query, clock, quota });
  const catchUp = createCatchUp({ prisma, leases, directory, agents, ingest, secret, clock, log, metrics });
  const pending = createPendingDelivery({ prisma, leases, directory, agents, secret, clock, log });
  const live = createLiveStatus({ agents, secret, clock });
  const starts = createStartWorker({
    db,
    prisma,
    box,
    directory,
    control,
    agents,
    config,
    clock,
    log,
    metrics,
    onReady: ({ id, conversationId }) => {
      pending
        .adopt(id, conversationId)
        .then(() => pending.deliver(conversationId))
        .catch((error: unknown) =>
          log.warn({ err: error, conversation_id: conversationId }, 'waiting messages are delivered later'),
        );
    },
  });
  const stopTelling = tellRoomMade({ directory, prisma, ingest, log });
  const deps: Deps = {
    ...outside,
    ...buildIdentity({ box, clock, config, db, log, directory, control }),
    archive,
    box,
    checks,
    directory,
    control,
    templates,
    images,
    gitDispatcher,
    agents,
    starts,
    ingest,
    catchUp,
    pending,
    live,
    metrics,
  };
  const [app, sandboxApp] = await Promise.all([buildApp(deps), buildSandboxApp(deps)]);
  return {
    app,
    sandboxApp,
    deps,
    async start() {
      if (config.identity.mode === 'single-user')
        await prisma.user.createMany({ data: [{ id: LOCAL_USER.id }], skipDuplicates: true });
      deps.login?.endings.start();
      archive?.start();
      catchUp.start();
      pending.start();
      checks.start();
      await starts.start();
    },
    notReady: () => Object.entries(checks.failing()).map(([name, why]) => `${name}: ${why}`),
    async stop() {
      stopTelling();
      await starts.stop();
      await Promise.all([checks.stop(), deps.login?.endings.stop(), catchUp.stop(), pending.stop(), archive?.stop()]);
      await Promise.all([directory.stop(), templates.stop()]);
      await Promise.all([agents.close(), images.close(), gitDispatcher.close()]);
    },
  };
}
