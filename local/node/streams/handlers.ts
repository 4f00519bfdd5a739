/** What the API server passes on to the node: logs, exec, attach, port-forward. */
import { ApiError } from '../../api/errors.js';
import type { PodHandlers, PodRequest, PodStreamRequest } from '../../api/podHandlers.js';
import type { Pod } from '../../../kube/kinds.js';
import type { ContainerRunner } from '../container.js';
import { readLog, type LogQuery } from '../logs.js';
import type { RunningNode } from '../start.js';
import { attach, exec } from './exec.js';
import { portForward } from './portforward.js';
import { refuse } from './wire.js';

const DEFAULT_CONTAINER = 'kubectl.kubernetes.io/default-container';

const bad = (message: string): ApiError => new ApiError({ code: 400, reason: 'BadRequest', message });

/** The container that is meant. @throws ApiError 400 when it is not clear which, or there is none of that name */
export function containerName(pod: Pod, query: URLSearchParams): string {
  const names = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])].map(({ name }) => name);
  const asked = query.get('container') ?? '';
  if (names.includes(asked)) return asked;
  if (asked !== '') throw bad(`container ${asked} is not valid for pod ${pod.metadata.name}`);
  const usual = pod.metadata.annotations?.[DEFAULT_CONTAINER] ?? '';
  if (names.includes(usual)) return usual;
  if (pod.spec.containers.length === 1) return names[0] ?? '';
  throw bad(`a container name must be specified for pod ${pod.metadata.name}, choose one of: [${names.join(' ')}]`);
}

/** The query of `kubectl logs`. @throws ApiError 400 for what is no number or time */
export function logQuery(query: URLSearchParams, now: number): LogQuery {
  const whole = (name: string): number | undefined => {
    const text = query.get(name);
    if (text === null) return undefined;
    if (!/^\d{1,15}$/.test(text)) throw bad(`invalid ${name}: must be a whole number`);
    return Number(text);
  };
  const sinceSeconds = whole('sinceSeconds');
  const sinceTime = query.get('sinceTime');
  const since =
    sinceSeconds === undefined ? (sinceTime === null ? undefined : Date.parse(sinceTime)) : now - sinceSeconds * 1000;
  if (since !== undefined && Number.isNaN(since)) throw bad('invalid sinceTime: must be RFC 3339');
  return {
    follow: query.get('follow') === 'true',
    timestamps: query.get('timestamps') === 'true',
    tailLines: whole('tailLines'),
    limitBytes: whole('limitBytes'),
    since,
  };
}

export function createPodHandlers(running: RunningNode): PodHandlers {
  const { node, kubelet } = running;
  const runnerOf = ({ pod, query }: PodRequest): { name: string; runner: ContainerRunner } => {
    const name = containerName(pod, query);
    const runner = kubelet.runtime(pod.metadata.uid ?? '')?.container(name);
    if (runner === undefined) {
      const state = pod.status?.containerStatuses?.find((status) => status.name === name)?.state;
      const reason = state?.waiting?.reason ?? 'ContainerCreating';
      throw bad(`container "${name}" in pod "${pod.metadata.name}" is waiting to start: ${reason}`);
    }
    return { name, runner };
  };
  /** Runs a stream handler; what it throws before the upgrade becomes an HTTP error. */
  const guarded = (stream: PodStreamRequest, run: () => Promise<void>): void => {
    stream.socket.on('error', () => stream.socket.destroy());
    stream.signal.addEventListener('abort', () => stream.socket.destroy(), { once: true });
    const attempt = async (): Promise<void> => run();
    attempt().catch((error: unknown) => {
      if (error instanceof ApiError) return refuse(stream.socket, error.status.code ?? 400, error.message);
      node.log.error({ err: error, pod: stream.pod.metadata.name }, 'a pod stream failed');
      stream.socket.destroy();
    });
  };

  return {
    log(request) {
      const query = logQuery(request.query, node.clock.now());
      const { name, runner } = runnerOf(request);
      const { restarts, state } = runner.facts();
      if (request.query.get('previous') === 'true') {
        if (restarts === 0)
          throw bad(`previous terminated container "${name}" in pod "${request.pod.metadata.name}" not found`);
        return Promise.resolve(
          readLog(runner.logPath(restarts - 1), { ...query, follow: false }, { signal: request.signal }),
        );
      }
      if (state.type === 'waiting' && restarts === 0 && runner.facts().last === undefined)
        throw bad(`container "${name}" in pod "${request.pod.metadata.name}" is waiting to start: ${state.reason}`);
      return Promise.resolve(
        readLog(runner.logPath(restarts), query, { writer: runner.writer(), signal: request.signal }),
      );
    },
    exec: (stream) =>
      guarded(stream, async () => {
        const { name, runner } = runnerOf(stream);
        const around = runner.surroundings();
        if (around === undefined) throw bad(`container ${name} of pod ${stream.pod.metadata.name} is not running`);
        if (stream.query.getAll('command').length === 0) throw bad('you must specify at least 1 command');
        await exec(stream, around);
      }),
    attach: (stream) => guarded(stream, async () => await attach(stream, runnerOf(stream).runner)),
    portForward: (stream) =>
      guarded(stream, async () => {
        const { podIP } = kubelet.runtime(stream.pod.metadata.uid ?? '')?.snapshot() ?? {};
        if (podIP === undefined || stream.pod.status?.phase !== 'Running')
          throw bad(
            `unable to forward port because pod is not running. Current status=${stream.pod.status?.phase ?? 'Pending'}`,
          );
        await portForward(stream, podIP);
      }),
  };
}
