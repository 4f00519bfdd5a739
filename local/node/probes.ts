/** Readiness, liveness and startup probes of one run of a container. */
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import type { Container, IntOrString, Probe } from '../../kube/kinds.js';
import type { Clock } from '../../kube/types.js';

export interface ProbeResult {
  ok: boolean;
  /** Why not, as the kubelet's Unhealthy event says it. */
  message: string;
}

export interface ProbeTarget {
  host: string;
  container: Container;
  /** Runs a command in the container; resolves with its exit code and output. */
  exec(command: string[], timeoutMs: number): Promise<{ code: number; output: string }>;
}

/** A named port's number; undefined when the container has no such port. */
export function portNumber(port: IntOrString, container: Container): number | undefined {
  if (typeof port === 'number' || /^\d+$/.test(port)) return Number(port);
  return container.ports?.find(({ name }) => name === port)?.containerPort;
}

const MAX_OUTPUT = 1024;

/** One look. Never rejects. */
export async function probeOnce(probe: Probe, target: ProbeTarget): Promise<ProbeResult> {
  const timeoutMs = (probe.timeoutSeconds ?? 1) * 1000;
  const { httpGet, tcpSocket, exec } = probe;
  if (exec !== undefined) {
    const { code, output } = await target.exec(exec.command, timeoutMs);
    return { ok: code === 0, message: output.slice(0, MAX_OUTPUT) || `exit code ${code}` };
  }
  const action = httpGet ?? tcpSocket;
  // gRPC probes and probes without action: nothing to look at.
  if (action === undefined)
    return { ok: false, message: 'this one-machine cluster has httpGet, tcpSocket and exec probes only' };
  const port = portNumber(action.port, target.container);
  if (port === undefined) return { ok: false, message: `the container has no port named ${String(action.port)}` };
  // On a node of its own a pod's 127.0.0.1 is the pod; here that is the machine.
  const host =
    action.host === undefined || action.host === 'localhost' || action.host === '127.0.0.1' ? target.host : action.host;
  return httpGet === undefined
    ? await tcpProbe(host, port, timeoutMs)
    : await httpProbe(httpGet, { host, port, timeoutMs });
}

interface Address {
  host: string;
  port: number;
  timeoutMs: number;
}

function httpProbe(get: NonNullable<Probe['httpGet']>, { host, port, timeoutMs }: Address): Promise<ProbeResult> {
  const send = get.scheme === 'HTTPS' ? httpsRequest : httpRequest;
  const headers = Object.fromEntries((get.httpHeaders ?? []).map(({ name, value }) => [name, value]));
  return new Promise((resolve) => {
    const request = send(
      {
        host,
        port,
        path: get.path ?? '/',
        headers: { 'user-agent': 'kube-probe/1.34', accept: '*/*', ...headers },
        timeout: timeoutMs,
        agent: false,
        rejectUnauthorized: false,
      },
      (response) => {
        const code = response.statusCode ?? 0;
        response.destroy();
        resolve({ ok: code >= 200 && code < 400, message: `HTTP probe failed with statuscode: ${code}` });
      },
    );
    // `timeout` above counts silence only; this one counts all.
    const timer = setTimeout(() => request.destroy(new Error('context deadline exceeded')), timeoutMs);
    request.once('close', () => clearTimeout(timer));
    request.once('error', (error) => resolve({ ok: false, message: `Get "${get.path ?? '/'}": ${error.message}` }));
    request.end();
  });
}

function tcpProbe(host: string, port: number, timeoutMs: number): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: timeoutMs });
    const end = (ok: boolean, message: string): void => {
      socket.destroy();
      resolve({ ok, message });
    };
    socket.once('connect', () => end(true, ''));
    socket.once('timeout', () => end(false, `dial tcp ${host}:${port}: i/o timeout`));
    socket.once('error', (error) => end(false, error.message));
  });
}

export interface Count {
  successes: number;
  failures: number;
}

/** One more result: the new count and whether a threshold is reached. Pure. */
export function countResult(
  count: Count,
  ok: boolean,
  probe: Probe,
): { count: Count; verdict?: 'success' | 'failure' } {
  const next = ok ? { successes: count.successes + 1, failures: 0 } : { successes: 0, failures: count.failures + 1 };
  if (ok)
    return { count: next, ...(next.successes >= (probe.successThreshold ?? 1) ? { verdict: 'success' as const } : {}) };
  return { count: next, ...(next.failures >= (probe.failureThreshold ?? 3) ? { verdict: 'failure' as const } : {}) };
}

export interface ProbeListener {
  started(): void;
  ready(ready: boolean, message: string): void;
  /** Startup or liveness failed for good: the container must be ended. */
  unhealthy(which: 'Startup' | 'Liveness', message: string): void;
  failed(which: 'Startup' | 'Liveness' | 'Readiness', message: string): void;
}

/** Until the first success a container is looked at more often than declared, so that it is ready as soon as it can be. */
const EAGER_MS = 50;
const EAGER_FOR_MS = 10_000;

/** Probes until `signal`. Without probes a container is started and ready at once. */
export function startProbes(
  target: ProbeTarget,
  listener: ProbeListener,
  { clock, signal }: { clock: Clock; signal: AbortSignal },
): void {
  const { startupProbe, readinessProbe, livenessProbe } = target.container;
  const born = clock.now();

  /** Looks until `take` says stop. Eager looks that fail do not count. */
  const loop = async (probe: Probe, take: (result: ProbeResult) => boolean, eager: boolean): Promise<void> => {
    const period = (probe.periodSeconds ?? 10) * 1000;
    if ((probe.initialDelaySeconds ?? 0) > 0) await clock.sleep((probe.initialDelaySeconds ?? 0) * 1000, signal);
    let hasty = eager && probe.exec === undefined;
    let counted = clock.now();
    while (!signal.aborted) {
      const result = await probeOnce(probe, target);
      if (signal.aborted) return;
      if (result.ok) hasty = false;
      if (clock.now() - born > EAGER_FOR_MS) hasty = false;
      if (!hasty || clock.now() - counted >= period) {
        counted = clock.now();
        if (!take(result)) return;
      }
      await clock.sleep(hasty ? Math.min(EAGER_MS, period) : period, signal);
    }
  };
  const quiet = (run: Promise<void>): void => void run.catch(() => undefined);

  /** Counts results; `decide` is asked at each verdict and answers whether to go on. */
  const counted = async (
    which: 'Startup' | 'Liveness' | 'Readiness',
    { probe, eager }: { probe: Probe; eager: boolean },
    decide: (passed: boolean, message: string) => boolean,
  ): Promise<void> => {
    let count: Count = { successes: 0, failures: 0 };
    const take = ({ ok, message }: ProbeResult): boolean => {
      const next = countResult(count, ok, probe);
      count = next.count;
      if (!ok) listener.failed(which, message);
      return next.verdict === undefined || decide(next.verdict === 'success', message);
    };
    await loop(probe, take, eager);
  };
  const startup = async (): Promise<boolean> => {
    if (startupProbe === undefined) return true;
    let started = false;
    await counted('Startup', { probe: startupProbe, eager: true }, (passed, message) => {
      started = passed;
      if (!passed) listener.unhealthy('Startup', message);
      return false;
    });
    return started;
  };
  const readiness = (probe: Probe): Promise<void> =>
    counted('Readiness', { probe, eager: startupProbe === undefined }, (passed, message) => {
      listener.ready(passed, message);
      return true;
    });
  const liveness = (probe: Probe): Promise<void> =>
    counted('Liveness', { probe, eager: false }, (passed, message) => {
      if (!passed) listener.unhealthy('Liveness', message);
      return passed;
    });
  const all = async (): Promise<void> => {
    if (!(await startup()) || signal.aborted) return;
    listener.started();
    if (readinessProbe === undefined) listener.ready(true, '');
    else quiet(readiness(readinessProbe));
    if (livenessProbe !== undefined) quiet(liveness(livenessProbe));
  };
  quiet(all());
}
