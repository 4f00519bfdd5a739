import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { version } from './root.js';

export { Registry };

/** A program's metrics registry, with Node's default metrics and `sandlot_build_info`. */
export function createMetrics(program: string): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  new Gauge({
    name: 'sandlot_build_info',
    help: 'Version of this program.',
    labelNames: ['program', 'version'],
    registers: [registry],
  })
    .labels(program, version())
    .set(1);
  return registry;
}
