/** One container of a pod: its runs as processes, one after the other, with probes, restarts and logs. */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isNotFound } from '../../kube/client.js';
import type { Container, ContainerStatus, Pod } from '../../kube/kinds.js';
import { commandOf } from './images.js';
import { expand, resolveEnv, ContainerConfigError, type References } from './env.js';
import type { PodFacts } from './fields.js';
import { createLogWriter, type LogWriter } from './logs.js';
import type { Node } from './node.js';
import { startProbes } from './probes.js';
import { killAll, MARK, signal as sendSignal } from './processes.js';
import { rewriteAll, rewriteEnv, rewritePath, type Mount } from './rewrite.js';
import { runForProbe } from './run.js';
import { startProcess, StartError, type Started } from './spawn.js';
import { CREATING, freshFacts, type ContainerFacts, type Terminated } from './status.js';
import { mountsOf, VolumeError } from './volumes.js';

/** What a pod gives to its containers. */
export interface PodContext {
  node: Node;
  pod(): Pod;
  /** As it was when this node first saw it: what ran before. */
  first: Pod;
  facts(): PodFacts;
  folders: ReadonlyMap<string, string>;
  references(): Promise<References>;
  /** Something that the status shows has changed. */
  changed(): void;
}

/** A command in a container's place: for the container itself, exec and probes. */
export interface Surroundings {
  argv: string[];
  env: Record<string, string>;
  cwd: string;
  mounts: Mount[];
}

export interface ContainerRunner {
  readonly name: string;
  facts(): ContainerFacts;
  /** Runs it, again and again as its policy says; resolves when it will not run any more. Never rejects. */
  run(): Promise<void>;
  /** SIGTERM, after the grace SIGKILL, then everything that it left. A second call can only shorten the grace. */
  stop(graceMs: number): Promise<void>;
  /** Of the running process; undefined while none runs. */
  surroundings(): Surroundings | undefined;
  logPath(run: number): string;
  writer(): LogWriter | undefined;
}

/** A crash loop's waits, as the kubelet's: at once, 10 s, 20 s … 5 min; forgotten after 10 minutes of running. */
const FORGET_MS = 600_000;
const BACKOFF_CAP_MS = 300_000;
const CONFIG_RETRY_MS = 2_000;
const IMAGE_RETRY_MS = 60_000;

export interface RunnerOptions {
  container: Container;
  policy: 'Always' | 'OnFailure' | 'Never';
  hasInit: boolean;
}

export function createContainerRunner(
  context: PodContext,
  { container, policy, hasInit }: RunnerOptions,
): ContainerRunner {
  const { node } = context;
  const { clock } = node;
  const uid = context.pod().metadata.uid ?? '';
  const facts: ContainerFacts = { ...freshFacts(container, hasInit), ...earlier(context.first, container) };
  const stopping = new AbortController();
  let current: { started: Started; around: Surroundings; writer: LogWriter; mark: string } | undefined;
  let killAt: { at: number; wake: AbortController; run: number } | undefined;
  let failures = 0;
  let ended: Promise<void> | undefined;

  const change = (next: Partial<ContainerFacts>): void => {
    Object.assign(facts, next);
    context.changed();
  };
  const event = (type: 'Normal' | 'Warning', reason: string, message: string): void =>
    node.event(context.pod(), { type, reason, message });
  const logPath = (run: number): string => join(node.layout.pod(uid).logs, `${container.name}.${run}.log`);
  const sleep = (ms: number): Promise<void> => clock.sleep(ms, stopping.signal).catch(() => undefined);

  const surroundings = async (): Promise<Surroundings> => {
    const command = commandOf(container, node.images);
    if ('message' in command) throw new ImageError(command.message);
    const mounts = await mountsOf(container, context.folders);
    const podFacts = context.facts();
    const own = resolveEnv(container, podFacts, await context.references());
    const folders = node.layout.pod(uid);
    const env = {
      ...node.baseEnv,
      HOME: folders.home,
      TMPDIR: folders.tmp,
      HOSTNAME: context.pod().spec.hostname ?? context.pod().metadata.name,
      HOST: podFacts.podIP,
      ...rewriteEnv(own, mounts),
      [MARK]: `${node.mark}/${uid}/${container.name}/${facts.restarts}`,
    };
    const cwd = container.workingDir ? rewritePath(container.workingDir, mounts) : folders.home;
    if (cwd !== container.workingDir) await mkdir(cwd, { recursive: true });
    return {
      argv: rewriteAll(
        command.argv.map((text) => expand(text, own)),
        mounts,
      ),
      env,
      cwd,
      mounts,
    };
  };

  /** One run, from start to the last of its processes. */
  const runOnce = async (): Promise<Terminated> => {
    const around = await surroundings();
    const mark = around.env[MARK] ?? '';
    const writer = await createLogWriter(logPath(facts.restarts), { now: () => clock.now() });
    const startedAt = clock.now();
    const id = `process://${uid}.${container.name}.${facts.restarts}`;
    try {
      const started = await startProcess(around);
      if (stopping.signal.aborted) sendSignal(-started.pid, 'SIGTERM');
      current = { started, around, writer, mark };
      // Written down beside the run: a node killed in between still finds the process by its mark.
      node.track(node.book.add(started.pid, mark));
      const { stdout, stderr } = started.child;
      const read = Promise.all([
        stdout === null ? undefined : writer.consume(stdout, 'stdout'),
        stderr === null ? undefined : writer.consume(stderr, 'stderr'),
      ]);
      change({ state: { type: 'running', startedAt }, id, started: false, ready: false });
      event('Normal', 'Started', `Started container ${container.name}`);
      const exit = await untilExit(started, around);
      await endRest(started, mark);
      stdout?.destroy();
      stderr?.destroy();
      await read;
      await node.book.remove(started.pid);
      return { ...exit, reason: exit.exitCode === 0 ? 'Completed' : 'Error', startedAt, finishedAt: clock.now(), id };
    } catch (error) {
      if (!(error instanceof StartError)) throw error;
      event('Warning', 'Failed', `Error: ${error.message}`);
      return { exitCode: 128, reason: 'StartError', message: error.message, startedAt, finishedAt: clock.now(), id };
    } finally {
      current = undefined;
      await writer.close();
    }
  };

  const untilExit = async (started: Started, around: Surroundings): Promise<{ exitCode: number; signal?: number }> => {
    const probing = new AbortController();
    startProbes(
      {
        host: context.facts().podIP,
        container,
        exec: (command, timeoutMs) => runForProbe({ ...around, argv: rewriteAll(command, around.mounts) }, timeoutMs),
      },
      {
        started: () => change({ started: true }),
        ready: (ready) => facts.ready !== ready && change({ ready }),
        failed: (which, message) => facts.started && event('Warning', 'Unhealthy', `${which} probe failed: ${message}`),
        unhealthy: (which) => {
          const message = `Container ${container.name} failed ${which.toLowerCase()} probe, will be restarted`;
          event('Normal', 'Killing', message);
          const grace =
            container[which === 'Liveness' ? 'livenessProbe' : 'startupProbe']?.terminationGracePeriodSeconds;
          node.track(end(started, (grace ?? context.pod().spec.terminationGracePeriodSeconds ?? 30) * 1000));
        },
      },
      { clock, signal: probing.signal },
    );
    try {
      return await started.exited;
    } finally {
      probing.abort();
    }
  };

  /** SIGTERM to the group; SIGKILL when the grace is over, or at once when a later stop shortens it. */
  const end = async (started: Started, graceMs: number): Promise<void> => {
    sendSignal(-started.pid, 'SIGTERM');
    const limit = { at: clock.now() + graceMs, wake: new AbortController(), run: facts.restarts };
    killAt = limit;
    void started.exited.then(() => limit.wake.abort());
    while (!stopped(started) && clock.now() < limit.at) {
      limit.wake = new AbortController();
      await clock.sleep(limit.at - clock.now(), limit.wake.signal).catch(() => undefined);
    }
    if (!stopped(started)) sendSignal(-started.pid, 'SIGKILL');
  };
  const endRest = async (started: Started, mark: string): Promise<void> => {
    const left = await killAll({ markPrefix: mark, leaders: [started.pid] }, (ms) => clock.sleep(ms));
    if (left.length > 0) node.log.warn({ pod: context.pod().metadata.name, pids: left }, 'processes do not end');
  };

  const again = (end: Terminated): boolean =>
    !stopping.signal.aborted && (policy === 'Always' || (policy === 'OnFailure' && end.exitCode !== 0));

  /** Tries until a run could be made; undefined when stopped before. */
  const attempt = async (): Promise<Terminated | undefined> => {
    while (!stopping.signal.aborted) {
      try {
        return await runOnce();
      } catch (error) {
        const { reason, message, retryMs } = waitingOf(error);
        change({ state: { type: 'waiting', reason, message }, started: false, ready: false });
        event('Warning', 'Failed', `Error: ${message}`);
        await sleep(retryMs);
      }
    }
    return undefined;
  };
  const backOff = async (end: Terminated): Promise<void> => {
    if (end.finishedAt - end.startedAt > FORGET_MS) failures = 0;
    const ms = failures === 0 ? 0 : Math.min(BACKOFF_CAP_MS, node.backoffMs * 2 ** Math.min(failures - 1, 20));
    failures++;
    if (ms === 0) return;
    const message = `back-off ${Math.ceil(ms / 1000)}s restarting failed container=${container.name} pod=${context.pod().metadata.name}_${context.pod().metadata.namespace ?? ''}(${uid})`;
    change({ state: { type: 'waiting', reason: 'CrashLoopBackOff', message } });
    event('Warning', 'BackOff', `Back-off restarting failed container ${container.name}`);
    await sleep(ms);
  };

  const runAll = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const end = await attempt();
      if (end === undefined) return;
      change({ state: { type: 'terminated', ...end }, started: false, ready: false });
      if (!again(end)) return;
      await backOff(end);
      if (stopping.signal.aborted) return change({ state: { type: 'terminated', ...end }, last: facts.last });
      await rm(logPath(facts.restarts - 1), { force: true });
      Object.assign(facts, { restarts: facts.restarts + 1, last: end, state: CREATING });
    }
  };

  return {
    name: container.name,
    facts: () => ({ ...facts }),
    run: () => (ended ??= runAll()),
    async stop(graceMs) {
      const first = !stopping.signal.aborted;
      stopping.abort();
      if (killAt?.run !== facts.restarts) killAt = undefined;
      if (current !== undefined && (first || killAt === undefined)) node.track(end(current.started, graceMs));
      else if (killAt !== undefined && clock.now() + graceMs < killAt.at) {
        killAt.at = clock.now() + graceMs;
        killAt.wake.abort();
      }
      await ended;
    },
    surroundings: () => current?.around,
    logPath,
    writer: () => current?.writer,
  };
}

class ImageError extends Error {
  override readonly name = 'ImageError';
}

const stopped = ({ child }: Started): boolean => child.exitCode !== null || child.signalCode !== null;

function waitingOf(error: unknown): { reason: string; message: string; retryMs: number } {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof ImageError) return { reason: 'ErrImagePull', message, retryMs: IMAGE_RETRY_MS };
  if (error instanceof ContainerConfigError || error instanceof VolumeError || isNotFound(error))
    return { reason: 'CreateContainerConfigError', message, retryMs: CONFIG_RETRY_MS };
  return { reason: 'CreateContainerError', message, retryMs: CONFIG_RETRY_MS };
}

/** A pod that ran before this node started goes on counting, as after a reboot; what ran then is said to have been lost. */
export function earlier(pod: Pod, container: Container): Partial<ContainerFacts> {
  const all = [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? [])];
  const before = all.find(({ name }) => name === container.name);
  if (before?.containerID === undefined) return {};
  return { restarts: before.restartCount + 1, last: lastOf(before, before.containerID) };
}

function lastOf({ state, lastState }: ContainerStatus, id: string): Terminated {
  const end = state?.terminated ?? lastState?.terminated;
  const startedAt = Date.parse(state?.running?.startedAt ?? end?.startedAt ?? '') || 0;
  if (end === undefined || state?.running !== undefined) {
    const message = 'The node was restarted while the container ran.';
    return { exitCode: 137, reason: 'Unknown', message, startedAt, finishedAt: startedAt, id };
  }
  const { exitCode, reason = 'Unknown', message, finishedAt } = end;
  const at = Date.parse(finishedAt ?? '') || startedAt;
  return { exitCode, reason, ...(message === undefined ? {} : { message }), startedAt, finishedAt: at, id };
}
