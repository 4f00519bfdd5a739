import { hostname } from 'node:os';
import { createClient, loadKubeConfig } from '../kube/client.js';
import { createKubeMetrics } from '../kube/metrics.js';
import { systemClock } from '../process/clock.js';
import { startHealth } from '../process/health.js';
import type { Logger } from '../process/log.js';
import { createMetrics } from '../process/metrics.js';
import { runProgram, type Running } from '../process/run.js';
import { version } from '../process/root.js';
import { limitPolicyOf, readOperatorConfig, type OperatorConfig } from './config.js';
import { createOperatorMetrics } from './metrics.js';
import { startOperator } from './operator.js';

export const usage = `sandlot operator: keeps Sandbox and SandboxPool resources as declared.

Environment:
  SANDLOT_SECRET          the installation's secret, at least 32 characters (required; or SANDLOT_SECRET_FILE)
  SANDLOT_NAMESPACE       namespace to serve; * for all (default: default)
  SANDLOT_SHARD           which share of it, when several operators share it: 0/2 and 1/2 are two halves (default: 0/1, all)
  SANDLOT_SANDBOX_IMAGE   image of sandboxes without template
  SANDLOT_API_URL         base URL that agent servers post their webhooks to
  SANDLOT_UI_ORIGINS      comma-separated origins of browsers that may call agent servers
  SANDLOT_MAX_RUNNING_PER_OWNER      sandboxes of one owner that may run at a time; 0: any number (0)
  SANDLOT_MAX_RUNNING_OF_OWNERS      the same for single owners: JSON like {"alice":20,"bob":0}
  SANDLOT_OVER_OWNER_LIMIT           Refuse, or PauseLeastActive: pause the owner's least recently active one (Refuse)
  SANDLOT_MAX_RUNNING_PER_NAMESPACE  sandboxes of one namespace that may run at a time; 0: any number (0)
  SANDLOT_HEALTH_HOST     address of /healthz, /readyz and /metrics (default: 127.0.0.1)
  SANDLOT_HEALTH_PORT     their port (default: 0, any free one)
  POD_NAME, POD_NAMESPACE identity and namespace of the leader election's Lease
  KUBECONFIG, LOG_LEVEL   as usual
  LOG_JSON                lines as OpenHands' programs write them: message, severity, timestamp (false)`;

/** Runs the operator until it is told to stop. */
export async function main(env: NodeJS.ProcessEnv): Promise<void> {
  await runProgram({
    name: 'operator',
    env,
    start: ({ log }) => start(readOperatorConfig(env), env, log),
  });
}

async function start(config: OperatorConfig, env: NodeJS.ProcessEnv, log: Logger): Promise<Running> {
  const registry = createMetrics('operator');
  const kubeMetrics = createKubeMetrics(registry);
  const kubeConfig = loadKubeConfig(env);
  const client = createClient(kubeConfig, { userAgent: `sandlot-operator/${version()}`, metrics: kubeMetrics });
  const all = config.SANDLOT_NAMESPACE === '*';
  const operator = startOperator({
    client,
    installation: {
      secret: config.SANDLOT_SECRET,
      sandboxImage: config.SANDLOT_SANDBOX_IMAGE,
      apiUrl: config.SANDLOT_API_URL,
      uiOrigins: config.SANDLOT_UI_ORIGINS,
    },
    namespace: all ? undefined : config.SANDLOT_NAMESPACE,
    shard: config.SANDLOT_SHARD,
    policy: limitPolicyOf(config),
    lease: {
      namespace: config.POD_NAMESPACE ?? (all ? (kubeConfig.namespace ?? 'default') : config.SANDLOT_NAMESPACE),
      // Two processes of one machine must differ, and so must a process and the one before it under the same name.
      identity: `${config.POD_NAME ?? hostname()}_${process.pid}_${Date.now().toString(36)}`,
    },
    clock: systemClock,
    log,
    kubeMetrics,
    metrics: createOperatorMetrics(registry, () => operator.world),
  });
  const health = await startHealth({
    host: config.SANDLOT_HEALTH_HOST,
    port: config.SANDLOT_HEALTH_PORT,
    registry,
    ready: () => operator.unready(),
  });
  log.info(
    { version: version(), namespace: config.SANDLOT_NAMESPACE, shard: config.SANDLOT_SHARD, healthPort: health.port },
    'operator started',
  );
  return {
    announce: { healthPort: health.port },
    drain: () => operator.stop(),
    async close() {
      await health.close();
      await client.close();
    },
  };
}
