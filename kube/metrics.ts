/**
 * Hooks that the parts of this folder call, and their registration in a prom-client registry under the names that users of
 * controller-runtime and client-go know. Everything works without.
 */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

export interface KubeMetrics {
  /** Code 0: no answer. */
  request(facts: { method: string; host: string; code: number; seconds: number }): void;
  reflector(facts: { name: string; event: 'list' | 'watch' | 'relist' | 'error' | 'event' | 'handler_error' }): void;
  /** A queue began; it is looked at by each scrape until what is answered is called. */
  queue(name: string, look: () => QueueLook): () => void;
  /** A key became due, or was added as due. One that was due already is merged and not counted. */
  queueAdd(name: string): void;
  /** A key was added again after a failure. */
  queueRetry(name: string): void;
  queueWaited(name: string, seconds: number): void;
  queueWorked(name: string, seconds: number): void;
  /** A controller began. */
  controller(name: string, workers: number): void;
  reconcile(facts: { name: string; result: ReconcileResult; seconds: number }): void;
  workers(name: string, active: number): void;
  leader(name: string, leads: boolean): void;
}

export interface QueueLook {
  /** Due keys by priority. */
  depths: ReadonlyMap<number, number>;
  /** How long each key that is handed out has been so. */
  workedSeconds: readonly number[];
}

/** controller-runtime's words: wait is `requeue_after`; stalled counts as its terminal error. */
export type ReconcileResult = 'success' | 'requeue_after' | 'terminal_error' | 'error';

const RESULTS = ['success', 'requeue_after', 'requeue', 'error'];
const DEPTH = 'workqueue_depth';
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

  const requests = counter('rest_client_requests_total', 'Kubernetes API requests by answer.', [
    'code',
    'method',
    'host',
  ]);
  const latency = histogram(
    'rest_client_request_duration_seconds',
    'Time to a Kubernetes API answer; watches: to its start.',
    ['verb', 'host'],
  );
  const reflected = counter('kube_reflector_events_total', 'Lists, watches, changes and errors of each reflector.', [
    'name',
    'event',
  ]);
  const queues = createQueueMetrics({ counter, histogram, registers });
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
    ...queues,
    request: ({ method, host, code, seconds }) => {
      // client-go's words: an exchange without answer is `<error>`, and a watch is a GET.
      requests.inc({ code: code === 0 ? '<error>' : String(code), method, host });
      latency.observe({ verb: method, host }, seconds);
    },
    reflector: (labels) => reflected.inc(labels),
    controller: (controller, workers) => {
      max.set({ controller }, workers);
      active.set({ controller }, 0);
      // A rate needs the zero before the first one.
      for (const result of RESULTS) total.inc({ controller, result }, 0);
      errors.inc({ controller }, 0);
      terminal.inc({ controller }, 0);
    },
    reconcile: ({ name: controller, result, seconds }) => {
      total.inc({ controller, result: result === 'terminal_error' ? 'error' : result });
      if (result === 'error' || result === 'terminal_error') errors.inc({ controller });
      if (result === 'terminal_error') terminal.inc({ controller });
      time.observe({ controller }, seconds);
    },
    workers: (controller, now) => active.set({ controller }, now),
    leader: (name, value) => leads.set({ name }, value ? 1 : 0),
  };
}

interface Makers {
  counter(name: string, help: string, labelNames: string[]): Counter;
  histogram(name: string, help: string, labelNames: string[]): Histogram;
  registers: Registry[];
}

type QueueMetrics = Pick<KubeMetrics, 'queue' | 'queueAdd' | 'queueRetry' | 'queueWaited' | 'queueWorked'>;

/** As controller-runtime labels them: a queue has the name of its controller. */
function createQueueMetrics({ counter, histogram, registers }: Makers): QueueMetrics {
  const looks = new Map<string, () => QueueLook>();
  const labelNames = ['name', 'controller'];
  const labels = (name: string) => ({ name, controller: name });
  const adds = counter('workqueue_adds_total', 'Keys that became due; merged ones count once.', labelNames);
  const retries = counter(
    'workqueue_retries_total',
    'Keys that were added again after a failure, with backoff.',
    labelNames,
  );
  const waited = histogram('workqueue_queue_duration_seconds', 'From due to handed to a worker.', labelNames);
  const worked = histogram('workqueue_work_duration_seconds', 'From handed out to done.', labelNames);
  const look = (
    name: string,
    help: string,
    set: (gauge: Gauge, of: ReturnType<typeof labels>, now: QueueLook) => void,
  ) =>
    new Gauge({
      name,
      help,
      registers,
      labelNames: name === DEPTH ? [...labelNames, 'priority'] : labelNames,
      collect() {
        this.reset();
        for (const [queue, lookAt] of looks) set(this, labels(queue), lookAt());
      },
    });
  look(DEPTH, 'Keys that are due and wait for a worker.', (gauge, of, { depths }) => {
    for (const [priority, depth] of new Map([[0, 0], ...depths]))
      gauge.set({ ...of, priority: String(priority) }, depth);
  });
  look(
    'workqueue_unfinished_work_seconds',
    'Time that running work has taken so far, all workers together; what grows steadily is stuck.',
    (gauge, of, { workedSeconds }) =>
      gauge.set(
        of,
        workedSeconds.reduce((sum, one) => sum + one, 0),
      ),
  );
  look(
    'workqueue_longest_running_processor_seconds',
    'How long the longest of running work has run.',
    (gauge, of, now) => gauge.set(of, Math.max(0, ...now.workedSeconds)),
  );
  return {
    queue: (name, view) => {
      looks.set(name, view);
      // The queue of a next term may have come already.
      return () => void (looks.get(name) === view && looks.delete(name));
    },
    queueAdd: (name) => adds.inc(labels(name)),
    queueRetry: (name) => retries.inc(labels(name)),
    queueWaited: (name, seconds) => waited.observe(labels(name), seconds),
    queueWorked: (name, seconds) => worked.observe(labels(name), seconds),
  };
}
