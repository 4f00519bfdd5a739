/** Everything on this machine, in order: folder, ports, Kubernetes API, node, programs. Stops in the other order. */
import { join } from 'node:path';
import { z } from 'zod';
import { createClient } from '../../kube/client.js';
import { kubeConfigOf } from '../../kube/config.js';
import { createVacantLease } from '../../kube/lease.js';
import { leaseName, WHOLE } from '../../operator/shard.js';
import { systemClock } from '../../process/clock.js';
import { flag, logLevel, readConfig } from '../../process/config.js';
import { createLog, type Logger } from '../../process/log.js';
import { packageRoot, version } from '../../process/root.js';
import { startApi } from '../api/api.js';
import { endLeftovers } from '../node/leftovers.js';
import { layoutOf } from '../node/layout.js';
import { clusterId } from '../node/node.js';
import { MARK } from '../node/processes.js';
import { startNode } from '../node/start.js';
import { createPodHandlers } from '../node/streams/handlers.js';
import { writeWhole, type DataFolder } from './dataFolder.js';
import { applyDefinitions, createDefaults, DEFAULT_NAME, NAMESPACE } from './defaults.js';
import { openLogFiles } from './logFile.js';
import type { UpOptions } from './options.js';
import { checkPorts } from './ports.js';
import { supervise, type Supervised } from './programs.js';

export interface Up {
  kubeconfig: string;
  /** All programs are ready; rejects with ProgramFailed. */
  ready: Promise<void>;
  stop(): Promise<void>;
}

const environment = z.object({ LOG_LEVEL: logLevel().default('info'), LOG_JSON: flag().default(false) });
const WARM_PODS = 1;
const HOST = '127.0.0.1';
const PROGRAM_GRACE_MS = 8_000;
const POD_GRACE_MS = 5_000;

export async function startUp(options: UpOptions, folder: DataFolder, env: NodeJS.ProcessEnv): Promise<Up> {
  const files = openLogFiles(join(folder.path, 'logs'));
  const settings = readConfig(environment, env);
  const log = createLog({
    name: 'up',
    level: settings.LOG_LEVEL,
    json: settings.LOG_JSON,
    destination: { write: (line: string) => files.write('up', line) },
  });
  const phases: Record<string, number> = {};
  /** ms since the process started: where the time of a start goes. */
  const reached = (phase: string): void => void (phases[phase] = Math.round(performance.now()));
  reached('loaded');
  const mark = await clusterId(folder.path);
  const processes = layoutOf(folder.path).processes;
  const { ended } = await endLeftovers({ mark, folder: processes }, (ms) => systemClock.sleep(ms));
  if (ended > 0) log.warn({ ended }, 'processes that an earlier run left were ended');
  await checkPorts(options, ended > 0);

  reached('checked');
  const api = await startApi({
    dataDir: join(folder.path, 'kube'),
    host: HOST,
    port: options.kubePort,
    token: folder.kubeToken,
    log,
  });
  const kubeconfig = join(folder.path, 'kubeconfig');
  writeWhole(kubeconfig, api.kubeconfig());
  const client = createClient(kubeConfigOf({ server: api.url, token: folder.kubeToken }), {
    userAgent: `sandlot-up/${version()}`,
  });
  // No operator of an earlier run lives any more, and the API that just started has had no other.
  await createVacantLease(client, { namespace: NAMESPACE, name: leaseName(WHOLE) });
  reached('kubernetes');
  const programs = startPrograms(options, folder, { env, kubeconfig, mark, log, files });
  // Beside the programs' loading: what they ask for before it is there they ask for again.
  await applyDefinitions(client);
  reached('definitions');
  const image = `sandlot/sandbox:${version()}`;
  const [node] = await Promise.all([
    startNode({
      client,
      clock: systemClock,
      log,
      dataDir: folder.path,
      mark,
      images: { 'sandlot/sandbox': [process.execPath, join(packageRoot(), 'bin', 'sandlot.js'), 'agent-server'] },
      path: env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin',
      env: machineEnvironment(env),
    }),
    createDefaults(client, { image, warm: WARM_PODS }),
  ]);
  reached('node');
  api.setPodHandlers(createPodHandlers(node));

  const { operator, gateway, apiserver } = programs;
  return {
    kubeconfig,
    ready: Promise.all(Object.entries(programs).map(([name, { ready }]) => ready.then(() => reached(name)))).then(() =>
      log.info({ phases }, 'started'),
    ),
    async stop() {
      // Agents end while their API server still listens, so that their last events arrive.
      await Promise.all([operator.stop(PROGRAM_GRACE_MS), gateway.stop(PROGRAM_GRACE_MS), node.stop(POD_GRACE_MS)]);
      await apiserver.stop(PROGRAM_GRACE_MS);
      await client.close();
      await api.close();
    },
  };
}

/**
 * What a process of this machine must know although it is a pod's: the way out through a proxy, and where things lie
 * that all sandboxes share (an installation of VS Code), since HOME is the pod's own folder.
 */
function machineEnvironment(env: NodeJS.ProcessEnv): Record<string, string> {
  const cache = env['SANDLOT_CACHE_DIR'] ?? (env['XDG_CACHE_HOME'] && join(env['XDG_CACHE_HOME'], 'sandlot'));
  const proxies = Object.entries(env).filter((entry): entry is [string, string] =>
    /^(?:https?|no)_proxy$/i.test(entry[0]),
  );
  return { ...Object.fromEntries(proxies), ...(cache ? { SANDLOT_CACHE_DIR: cache } : {}) };
}

interface ProgramContext {
  env: NodeJS.ProcessEnv;
  kubeconfig: string;
  mark: string;
  log: Logger;
  files: ReturnType<typeof openLogFiles>;
}

type Name = 'operator' | 'gateway' | 'apiserver';

function startPrograms(options: UpOptions, folder: DataFolder, context: ProgramContext): Record<Name, Supervised> {
  const { env, kubeconfig, mark, log, files } = context;
  const more = env['SANDLOT_UI_ORIGINS'] ?? '';
  const origins = [`http://localhost:${options.port}`, `http://127.0.0.1:${options.port}`, more].join(',');
  const common = {
    ...env,
    NODE_ENV: 'production',
    KUBECONFIG: kubeconfig,
    SANDLOT_SECRET: folder.secret,
    SANDLOT_HOST: HOST,
    SANDLOT_UI_ORIGINS: origins,
    SANDLOT_GATEWAY_DOMAIN: `sandbox.localhost:${options.gatewayPort}`,
    SANDLOT_GATEWAY_PROTOCOL: 'http',
    SANDLOT_GATEWAY_FORM: 'host',
  };
  const own: Record<Name, NodeJS.ProcessEnv> = {
    operator: { SANDLOT_API_URL: `http://${HOST}:${options.port}` },
    gateway: { SANDLOT_PORT: String(options.gatewayPort), SANDLOT_ACCESS_LOG: 'false' },
    apiserver: {
      SANDLOT_PORT: String(options.port),
      SANDLOT_API_URL: `http://${HOST}:${options.port}`,
      SANDLOT_IDENTITY: env['SANDLOT_IDENTITY'] ?? 'single-user',
      SANDLOT_SANDBOX_TEMPLATE: DEFAULT_NAME,
      DATABASE_URL: env['DATABASE_URL'] ?? `pglite:${join(folder.path, 'database')}`,
    },
  };
  const cli = join(packageRoot(), 'bin', 'sandlot.js');
  const start = (name: Name): Supervised =>
    supervise(
      { name, env: { ...common, ...own[name], [MARK]: `${mark}/-/${name}` } },
      { cli, execArgv: [], clock: systemClock, log, output: files.take },
    );
  // The API server first: it has the most to do.
  return { apiserver: start('apiserver'), operator: start('operator'), gateway: start('gateway') };
}
