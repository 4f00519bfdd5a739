/** What the API server counts, beside requests (http/count.ts). */
import { Counter, Histogram, type Registry } from 'prom-client';

export interface ApiMetrics {
  /** A start reached READY or ERROR, this long after the request. */
  start(result: 'ready' | 'error', seconds: number): void;
  /** Events that were new; `catchup`: no webhook had brought them. */
  events(way: 'webhook' | 'catchup', count: number): void;
}

export function createApiMetrics(registry: Registry): ApiMetrics {
  const registers = [registry];
  const starts = new Histogram({
    name: 'sandlot_start_seconds',
    help: 'From the request of a conversation to READY or ERROR.',
    labelNames: ['result'],
    buckets: [0.25, 0.5, 1, 2, 5, 10, 20, 60, 120, 300],
    registers,
  });
  const events = new Counter({
    name: 'sandlot_events_stored_total',
    help: 'Events stored, by the way on which they came.',
    labelNames: ['way'],
    registers,
  });
  return {
    start: (result, seconds) => starts.labels(result).observe(seconds),
    events: (way, count) => events.labels(way).inc(count),
  };
}
