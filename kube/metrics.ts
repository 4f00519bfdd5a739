/**
 * Hooks that the parts of this folder call, and their registration in a prom-client registry under the names that users of
 * controller-runtime and client-go know. Everything works without.
 */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

export interface KubeMetrics {
  request(facts: { verb: string; code: number; seconds: number }): void;
  reflector(facts: { name: string; event: 'list' | 'watch' | 'relist' | 'error' | 'event' | 'handler_error' }): void;
  queueDepth(name: string, depth: number): void;
  queueAdd(name: string): void;
  queueRetry(name: string): void;
  queueWaited(name: string, seconds: number): void;
  queueWorked(name: string, seconds: number): void;
  reconcile(facts: { name: string; result: ReconcileResult; seconds: number }): void;
  workers(name: string, active: number, max: number): void;
  leader(name: string, leads: boolean): void;
}

/** controller-runtime's words: wait is `requeue_after`; stalled counts as its terminal error. */
export type ReconcileResult = 'success' | 'requeue_after' | 'terminal_error' | 'error';

const SECONDS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/**
 * Registers the metrics; call once per registry. The rest of this folder imports this file for its types only, and so does
 * without prom-client. (A dynamic import would have no named exports once it is bundled.)
 */
export function createKubeMetrics(registry: Registry): KubeMetrics {
  const registers = [registry];
  const counter = (name: string, help: string, labelNames: string[]) =>
    new Counter({ name, help, labelNames, registers });
  const gauge = (name: string, help: string, labelNames: string[]) => new Gauge({ name, help, labelNames, registers });
  const histogram = (name: string, help: string, labelNames: string[]) =>
    new Histogram({ name, help, labelNames, registers, buckets: SECONDS });

  const requests = counter(
    'rest_client_requests_total',
    'Kubernetes API requests by verb and status code (0: no answer).',
    ['method', 'code'],
  );
  const latency = histogram(
    'rest_client_request_duration_seconds',
    'Time to a Kubernetes API answer; watches: to its start.',
    ['verb'],
  );
  const reflected = counter('kube_reflector_events_total', 'Lists, watches, changes and errors of each reflector.', [
    'name',
    'event',
  ]);
  const depth = gauge('workqueue_depth', 'Keys that are waiting to be handed to a worker.', ['name']);
  const adds = counter('workqueue_adds_total', 'Adds, merged ones included.', ['name']);
  const retries = counter('workqueue_retries_total', 'Adds after a failure, with backoff.', ['name']);
  const waited = histogram('workqueue_queue_duration_seconds', 'From due to handed to a worker.', ['name']);
  const worked = histogram('workqueue_work_duration_seconds', 'From handed out to done.', ['name']);
  const total = counter('controller_runtime_reconcile_total', 'Reconciles by result.', ['controller', 'result']);
  const errors = counter('controller_runtime_reconcile_errors_total', 'Reconciles that failed.', ['controller']);
  const terminal = counter(
    'controller_runtime_terminal_reconcile_errors_total',
    'Reconciles that stalled: no retry helps.',
    ['controller'],
  );
  const time = histogram('controller_runtime_reconcile_time_seconds', 'Time of one reconcile.', ['controller']);
  const active = gauge('controller_runtime_active_workers', 'Workers that are reconciling.', ['controller']);
  const max = gauge('controller_runtime_max_concurrent_reconciles', 'Workers.', ['controller']);
  const leads = gauge('leader_election_master_status', '1 while this process leads.', ['name']);

  return {
    request: ({ verb, code, seconds }) => {
      requests.inc({ method: verb, code: String(code) });
      latency.observe({ verb }, seconds);
    },
    reflector: (labels) => reflected.inc(labels),
    queueDepth: (name, value) => depth.set({ name }, value),
    queueAdd: (name) => adds.inc({ name }),
    queueRetry: (name) => retries.inc({ name }),
    queueWaited: (name, seconds) => waited.observe({ name }, seconds),
    queueWorked: (name, seconds) => worked.observe({ name }, seconds),
    reconcile: ({ name: controller, result, seconds }) => {
      total.inc({ controller, result: result === 'terminal_error' ? 'error' : result });
      if (result === 'error' || result === 'terminal_error') errors.inc({ controller });
      if (result === 'terminal_error') terminal.inc({ controller });
      time.observe({ controller }, seconds);
    },
    workers: (controller, now, limit) => {
      active.set({ controller }, now);
      max.set({ controller }, limit);
    },
    leader: (name, value) => leads.set({ name }, value ? 1 : 0),
  };
}
