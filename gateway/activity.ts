/**
 * Tells the operator which sandboxes are in use: one annotation on the Sandbox, in steps of a minute, whatever the traffic.
 * Several gateways agree by looking at what is written there already. A failure costs nothing but a late pause.
 */
import { ANNOTATION } from '../contracts/labels.js';
import { SANDBOX } from '../contracts/resources.js';
import type { KubeClient } from '../kube/client.js';
import type { Route } from './table.js';

export interface ActivityOptions {
  client: Pick<KubeClient, 'patch'>;
  routes: () => Iterable<Route>;
  /** Called with the outcome of each write. */
  written: (result: 'ok' | 'error') => void;
}

export const STEP_MS = 60_000;
const AT_ONCE = 4;
const PER_ROUND = 200;

export interface Activity {
  /** Writes what is due at `now` (ms since 1970); at most one round runs. */
  round(now: number): Promise<void>;
}

export function createActivity({ client, routes, written }: ActivityOptions): Activity {
  /** Slot → when a write was tried last, so that failures are not repeated before the next step. */
  const tried = new Map<string, number>();
  let running = false;

  const write = async (route: Route) => {
    const annotations = { [ANNOTATION.lastTraffic]: new Date(route.load.lastTraffic).toISOString() };
    try {
      const ref = { namespace: route.namespace, name: route.sandbox };
      await client.patch(
        SANDBOX,
        ref,
        { metadata: { annotations } },
        { type: 'merge', fieldManager: 'sandlot-gateway', timeoutMs: 5_000 },
      );
      written('ok');
    } catch {
      // Gone, conflicting or unreachable: the next step tries again with a later time.
      written('error');
    }
  };
  return {
    async round(now) {
      if (running) return;
      running = true;
      try {
        const due = [...routes()].filter((route) => isDue(route, now, tried.get(route.slot) ?? 0)).slice(0, PER_ROUND);
        for (const [slot, at] of tried) if (now - at >= STEP_MS) tried.delete(slot);
        for (const route of due) tried.set(route.slot, now);
        for (let at = 0; at < due.length; at += AT_ONCE) await Promise.all(due.slice(at, at + AT_ONCE).map(write));
      } finally {
        running = false;
      }
    },
  };
}

export function isDue(route: Route, now: number, triedAt: number): boolean {
  return route.load.lastTraffic >= route.reportedTraffic + STEP_MS && now - triedAt >= STEP_MS;
}
