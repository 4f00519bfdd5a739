import { createClient, loadKubeConfig } from '../kube/client.js';
import { createKubeMetrics } from '../kube/metrics.js';
import { systemClock } from '../process/clock.js';
import { startHealth } from '../process/health.js';
import type { Logger } from '../process/log.js';
import { createMetrics } from '../process/metrics.js';
import { version } from '../process/root.js';
import { runProgram, type Running } from '../process/run.js';
import { createActivity } from './activity.js';
import { buildGateway, newPool } from './build.js';
import { readGatewayConfig, usage, type GatewayConfig } from './config.js';
import { startFeed } from './feed.js';
import { createAccessLog, noAccessLog } from './accesslog.js';
import { createObserver } from './observe.js';
import { routeChanged } from './rights.js';
import { listenGateway } from './server.js';
import { createWaker } from './wake.js';
import { createTable } from './table.js';

export { usage };

export async function main(env: NodeJS.ProcessEnv): Promise<void> {
  await runProgram({
    name: 'gateway',
    env,
    start: ({ log }) => start(readGatewayConfig(env), env, log),
  });
}

const ACTIVITY_ROUND_MS = 5_000;

/** Binds, fills the table, and only then says that it is ready. */
async function start(config: GatewayConfig, env: NodeJS.ProcessEnv, log: Logger): Promise<Running> {
  const registry = createMetrics('gateway');
  const metrics = createKubeMetrics(registry);
  const client = createClient(loadKubeConfig(env), { userAgent: `sandlot-gateway/${version()}`, metrics });
  const pool = newPool();
  const table = createTable(config.SANDLOT_SECRET, {
    moved: pool.forget,
    changed: (slot) => routeChanged(gateway, slot),
  });
  const accessLog = config.SANDLOT_ACCESS_LOG ? createAccessLog(1, config.LOG_JSON) : noAccessLog;
  const observer = createObserver(registry, accessLog, {
    connections: () => gateway.connections.size,
    streams: () => [...table.routes()].reduce((sum, route) => sum + route.load.streams, 0),
    routes: () => [...table.routes()].length,
    pool: () => pool.size(),
  });
  const gateway = buildGateway(settingsOf(config), {
    table,
    observer,
    pool,
    isSynced: () => feed.missing().length === 0,
    waker: createWaker({ client, written: observer.wakeWritten }),
  });
  const feed = startFeed({
    client,
    namespace: config.SANDLOT_NAMESPACE,
    table,
    clock: systemClock,
    log,
    metrics,
  });
  const listening = await listenGateway(gateway, {
    host: config.SANDLOT_HOST,
    port: config.SANDLOT_PORT,
    maxConnections: config.SANDLOT_MAX_CONNECTIONS,
  });
  const health = await startHealth({
    host: config.SANDLOT_HEALTH_HOST,
    port: config.SANDLOT_HEALTH_PORT,
    registry,
    ready: () => (gateway.draining ? ['draining'] : feed.missing()),
  });
  const activity = createActivity({ client, routes: table.routes, written: observer.activityWritten });
  const reporting = setInterval(() => void activity.round(Date.now()), ACTIVITY_ROUND_MS);
  await feed.synced;
  log.info({ port: listening.port, domain: config.SANDLOT_GATEWAY_DOMAIN }, 'gateway ready');
  return {
    announce: { port: listening.port, healthPort: health.port },
    drain: () => listening.drain(config.SANDLOT_DRAIN_SECONDS * 1000),
    async close() {
      clearInterval(reporting);
      await activity.round(Date.now());
      await listening.close();
      await feed.stop();
      accessLog.close();
      await client.close();
      await health.close();
    },
  };
}

function settingsOf(config: GatewayConfig) {
  return {
    secret: config.SANDLOT_SECRET,
    domain: config.SANDLOT_GATEWAY_DOMAIN,
    protocol: config.SANDLOT_GATEWAY_PROTOCOL,
    uiOrigins: config.SANDLOT_UI_ORIGINS,
    maxRequests: config.SANDLOT_MAX_REQUESTS_PER_SANDBOX,
    maxStreams: config.SANDLOT_MAX_STREAMS_PER_SANDBOX,
    maxUserRequests: config.SANDLOT_MAX_REQUESTS_PER_USER,
    maxUserStreams: config.SANDLOT_MAX_STREAMS_PER_USER,
    trustForwarded: config.SANDLOT_TRUST_PROXY,
  };
}
