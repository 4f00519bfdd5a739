/** Puts a gateway together from its configuration and a table; binds nothing. */
import { createPasses } from './authorize.js';
import type { Rules } from './decide.js';
import { createBudget } from './events/budget.js';
import { HISTORY_BYTES } from './events/catchup.js';
import type { Gateway, Observer, Timeouts } from './gateway.js';
import type { Limits } from './limits.js';
import { createPool, type Pool } from './pool.js';
import type { Lookup } from './table.js';
import type { Waker } from './wake.js';

export interface GatewaySettings extends Limits {
  secret: string;
  domain: string;
  protocol: string;
  uiOrigins: readonly string[];
  trustForwarded: boolean;
}

export interface GatewayParts {
  table: Lookup;
  observer: Observer;
  isSynced: () => boolean;
  waker: Waker;
  pool?: Pool;
  timeouts?: Partial<Timeouts>;
}

/** Above the 600 s that load balancers allow at most, so that they, not we, decide about silence. */
const IDLE_MS = 610_000;

/** Below the 30 s after which the shortest-tempered ingresses and clients give up. */
const HOLD_MS = 25_000;

export function buildGateway(settings: GatewaySettings, parts: GatewayParts): Gateway {
  const rules: Rules = {
    secret: settings.secret,
    origins: { ui: new Set(settings.uiOrigins), protocol: settings.protocol, domain: settings.domain },
    passes: createPasses(settings.secret),
    maxRequests: settings.maxRequests,
    maxStreams: settings.maxStreams,
    maxUserRequests: settings.maxUserRequests,
    maxUserStreams: settings.maxUserStreams,
  };
  return {
    rules,
    table: parts.table,
    pool: parts.pool ?? newPool(),
    clock: { now: Date.now() },
    timeouts: {
      firstByteMs: 60_000,
      headMs: 15_000,
      // Above the 300 s for which agent servers run a command while its client waits.
      answerMs: 330_000,
      bodyMs: 60_000,
      // Above the 20–25 s after which long polls answer.
      crowdedMs: 30_000,
      idleMs: IDLE_MS,
      firstFrameMs: 10_000,
      holdMs: HOLD_MS,
      ...parts.timeouts,
    },
    observer: parts.observer,
    embedders: settings.uiOrigins.map((origin) => ` ${origin}`).join(''),
    trustForwarded: settings.trustForwarded,
    isSynced: parts.isSynced,
    draining: false,
    connections: new Set(),
    waker: parts.waker,
    held: new Map(),
    history: createBudget(HISTORY_BYTES),
    changed: new Set(),
  };
}

export const newPool = (): Pool => createPool({ dialTimeoutMs: 5_000, idleMs: 1_500, maxIdlePerPort: 64 });
