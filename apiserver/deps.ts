/** What the routes are given. `main.ts` and tests make it; nothing is looked up globally. */
import type { Registry } from 'prom-client';
import type { Dispatcher } from 'undici';
import type { Clock } from '../kube/types.js';
import type { Logger } from '../process/log.js';
import type { AgentHttp } from './agent/http.js';
import type { Archive } from './archive/archive.js';
import type { Checks } from './checks.js';
import type { ApiConfig } from './config.js';
import type { Box } from './db/box.js';
import type { Database } from './db/open.js';
import type { Identify } from './identity/identity.js';
import type { LoginParts } from './routes/login.js';
import type { ApiMetrics } from './metrics.js';
import type { LiveStatus } from './ingest/live.js';
import type { Ingest } from './ingest/ingest.js';
import type { CatchUp } from './ingest/catchup.js';
import type { PendingDelivery } from './ingest/pending.js';
import type { SandboxControl } from './sandboxes/control.js';
import type { SandboxDirectory } from './sandboxes/directory.js';
import type { Images } from './runtime/images.js';
import type { Templates } from './sandboxes/templates.js';
import type { StartWorker } from './start/worker.js';

export interface Deps {
  config: Pick<
    ApiConfig,
    | 'secrets'
    | 'dataKeys'
    | 'identity'
    | 'uiOrigins'
    | 'apiUrl'
    | 'gateway'
    | 'template'
    | 'startTimeoutMs'
    | 'limits'
    | 'runtimeClasses'
    | 'runtimeRegistry'
  > &
    Partial<Pick<ApiConfig, 'rates' | 'gitHosts'>>;
  db: Database;
  /** Who asks, by key or by login. */
  identify: Identify;
  /** Undefined in single-user mode. */
  login?: LoginParts | undefined;
  /** Where deleted conversations are kept for a while; undefined: they are not. */
  archive: Archive | undefined;
  box: Box;
  checks: Checks;
  directory: SandboxDirectory;
  control: SandboxControl;
  templates: Templates;
  images: Images;
  /** For calls to git providers: it holds where they may go. */
  gitDispatcher: Dispatcher;
  agents: AgentHttp;
  starts: StartWorker;
  ingest: Ingest;
  catchUp: CatchUp;
  pending: PendingDelivery;
  live: LiveStatus;
  clock: Clock;
  log: Logger;
  registry: Registry;
  metrics: ApiMetrics;
  /** Folder of the built web UI; undefined where there is none. */
  webRoot?: string | undefined;
}
