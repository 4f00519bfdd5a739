import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { SandboxPhase } from '../contracts/resources.js';
import type { World } from './world.js';

export interface OperatorMetrics {
  /** How a claim on a pool ended. */
  claim(result: 'claimed' | 'dry' | 'conflict' | 'discarded'): void;
  /** A sandbox became ready for the first time, `seconds` after it was created. */
  started(way: 'warm' | 'cold', seconds: number): void;
}

const PHASES: SandboxPhase[] = ['Pending', 'Starting', 'Running', 'Pausing', 'Paused', 'Failed', 'Terminating'];
const START_SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600];

/** Sandboxes are counted at the scrape, from the cache; no label holds a name. */
export function createOperatorMetrics(registry: Registry, world: () => World | undefined): OperatorMetrics {
  const registers = [registry];
  const claims = new Counter({
    name: 'sandlot_pool_claims_total',
    help: 'Claims on pools by result; discarded pods could not be initialised.',
    labelNames: ['result'],
    registers,
  });
  const starts = new Histogram({
    name: 'sandlot_sandbox_start_seconds',
    help: 'From the creation of a Sandbox to its first Ready.',
    labelNames: ['way'],
    buckets: START_SECONDS,
    registers,
  });
  new Gauge({
    name: 'sandlot_sandboxes',
    help: 'Sandboxes by phase.',
    labelNames: ['phase'],
    registers,
    collect() {
      const counts = new Map<string, number>(PHASES.map((phase) => [phase, 0]));
      for (const { status } of world()?.sandboxes.list() ?? []) {
        const phase = status?.phase ?? 'Pending';
        counts.set(phase, (counts.get(phase) ?? 0) + 1);
      }
      for (const [phase, count] of counts) this.set({ phase }, count);
    },
  });
  return {
    claim: (result) => claims.inc({ result }),
    started: (way, seconds) => starts.observe({ way }, seconds),
  };
}
