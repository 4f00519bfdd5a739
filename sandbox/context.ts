/** What the parts of the server share. The configuration changes once at most: by `POST /api/init` of a dormant server. */
import type { Logger } from '../process/log.js';
import type { ServerConfig } from './config.js';
import type { Conversations } from './conversations/service.js';
import type { PathMap } from './conversations/workspace.js';
import type { Clock } from './seam.js';
import type { BashService } from './services/bash.js';
import type { Extensions } from './services/installed/index.js';
import type { ProfileStore } from './services/profiles.js';
import type { Settings } from './services/settings.js';
import type { VscodeService } from './vscode/service.js';
import type { Webhooks } from './webhooks/webhooks.js';

export type InitState = 'dormant' | 'initializing' | 'ready';

/** Changes in place; read it through `context.config`. */
export interface Context {
  config: ServerConfig;
  /** The key that opens `POST /api/init`: the secret key that the server was started with. */
  readonly initKey: string | null;
  init: { state: InitState; error: string | null };
  /** Both by the monotonic clock. */
  readonly startedAt: number;
  /** The last sign of work. */
  lastActivity: number;
  readonly paths: PathMap;
  readonly conversations: Conversations;
  readonly webhooks: Webhooks;
  readonly bash: BashService;
  readonly vscode: VscodeService;
  readonly settings: Settings;
  readonly profiles: ProfileStore;
  readonly extensions: Extensions;
  readonly log: Logger;
  readonly clock: Clock;
}
