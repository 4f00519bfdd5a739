/** Metrics. On the hot path: counts are kept in plain maps and shown when somebody asks. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { AccessLog } from './accesslog.js';
import type { Finished, Observer } from './gateway.js';
import type { WakeResult } from './wake.js';

export interface Gauges {
  connections(): number;
  streams(): number;
  routes(): number;
  pool(): { idle: number; open: number };
}

export interface Observing extends Observer {
  activityWritten(result: 'ok' | 'error'): void;
  wakeWritten(result: WakeResult): void;
}

/** A counter with labels whose increments are one map access. Label values are a small closed set by construction. */
function tally(registry: Registry, name: string, help: string, labelNames: string[]) {
  const counts = new Map<string, number>();
  new Counter({
    name,
    help,
    labelNames,
    registers: [registry],
    collect() {
      this.reset();
      for (const [key, count] of counts) this.inc(labelsOf(labelNames, key), count);
    },
  });
  return (key: string, by = 1) => void counts.set(key, (counts.get(key) ?? 0) + by);
}

function labelsOf(names: string[], key: string): Record<string, string> {
  const values = key.split('|');
  return Object.fromEntries(names.map((name, index) => [name, values[index] ?? '']));
}

export function createObserver(registry: Registry, log: AccessLog, gauges: Gauges): Observing {
  const requests = tally(
    registry,
    'sandlot_gateway_requests_total',
    'Requests by how the sandbox was found, port and class of status.',
    ['source', 'port', 'code'],
  );
  const refusals = tally(registry, 'sandlot_gateway_own_answers_total', 'Answers of the gateway itself by reason.', [
    'reason',
  ]);
  const bytes = tally(
    registry,
    'sandlot_gateway_body_bytes_total',
    'Bytes of bodies, event streams and WebSockets, with the answers of the gateway itself; in: from clients.',
    ['direction'],
  );
  const dials = tally(registry, 'sandlot_gateway_dial_failures_total', 'Connections to pods that did not come about.', [
    'code',
  ]);
  const activity = tally(registry, 'sandlot_gateway_activity_writes_total', 'Writes of the last-traffic annotation.', [
    'result',
  ]);
  const wakes = tally(
    registry,
    'sandlot_gateway_wakes_total',
    'Resumes of paused sandboxes by requests; late: another was first.',
    ['result'],
  );
  const seconds = new Histogram({
    name: 'sandlot_gateway_request_seconds',
    help: 'From the end of a request head to the end of the answer; WebSockets not counted.',
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60],
    registers: [registry],
  });
  registerGauges(registry, gauges);
  return {
    finished(finished) {
      const { context, status, reason } = finished;
      const { located } = context ?? {};
      requests(
        `${located?.source ?? 'none'}|${portLabel(finished)}|${status === 0 ? 'none' : `${Math.floor(status / 100)}xx`}`,
      );
      if (reason !== undefined) refusals(reason);
      if (finished.bytesIn > 0) bytes('in', finished.bytesIn);
      if (finished.bytesOut > 0) bytes('out', finished.bytesOut);
      if (status !== 101 && context !== undefined) seconds.observe(finished.ms / 1000);
      log.write(finished);
    },
    dialFailed: (code) => dials(/^E[A-Z]{2,20}$/.test(code) ? code : 'other'),
    activityWritten: (result) => activity(result),
    wakeWritten: (result) => wakes(result),
  };
}

/** Names are few; numbers are the user's choice and would make as many series. */
const portLabel = ({ context }: Finished) => (context === undefined ? 'none' : (context.port.name ?? 'other'));

function registerGauges(registry: Registry, gauges: Gauges): void {
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(read());
      },
    });
  gauge('sandlot_gateway_connections', 'Open connections of clients.', () => gauges.connections());
  gauge('sandlot_gateway_streams', 'Open WebSockets and event streams.', () => gauges.streams());
  gauge('sandlot_gateway_routes', 'Sandboxes in the routing table.', () => gauges.routes());
  gauge('sandlot_gateway_pod_connections', 'Open connections to pods.', () => gauges.pool().open);
  gauge(
    'sandlot_gateway_pod_connections_idle',
    'Connections to pods that wait for a request.',
    () => gauges.pool().idle,
  );
}
