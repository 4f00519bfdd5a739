/** The row of a pod in `kubectl get pods`: readiness, the word that tells what it is doing, restarts. */
import { at, isRecord, list, record, text, type Json, type Obj } from './object.js';
import { duration } from './duration.js';

const statuses = (object: Obj, field: string): Json[] => list(at(object, 'status', field)).filter(isRecord);

/** Why a container does not run, from its state; empty while it does. */
function stopReason(status: Json): string {
  const state = record(status['state']);
  const waiting = text(record(state['waiting'])['reason']);
  if (waiting !== '') return waiting;
  if (!isRecord(state['terminated'])) return '';
  const { reason, signal, exitCode } = state['terminated'];
  if (text(reason) !== '') return text(reason);
  return Number(signal ?? 0) !== 0 ? `Signal:${String(signal)}` : `ExitCode:${String(exitCode ?? 0)}`;
}

function word(object: Obj): string {
  const base = text(at(object, 'status', 'reason')) || text(at(object, 'status', 'phase'));
  const containers = statuses(object, 'containerStatuses');
  let reason = base;
  let running = false;
  for (const status of [...containers].reverse()) {
    const why = stopReason(status);
    if (why !== '') reason = why;
    else if (status['ready'] === true && isRecord(record(status['state'])['running'])) running = true;
  }
  if (reason === 'Completed' && running) reason = isReady(object) ? 'Running' : 'NotReady';
  if (object.metadata.deletionTimestamp === undefined) return reason;
  return base === 'NodeLost' ? 'Unknown' : 'Terminating';
}

const isReady = (object: Obj): boolean =>
  list(at(object, 'status', 'conditions')).some(
    (item) => isRecord(item) && item['type'] === 'Ready' && item['status'] === 'True',
  );

function restarts(object: Obj, now: number): string {
  const containers = statuses(object, 'containerStatuses');
  const total = containers.reduce((sum, status) => sum + Number(status['restartCount'] ?? 0), 0);
  const ends = containers
    .map((status) => text(at(status, 'lastState', 'terminated', 'finishedAt')))
    .filter((end) => end !== '');
  const last = ends.sort().at(-1);
  return total === 0 || last === undefined ? String(total) : `${total} (${duration(now - Date.parse(last))} ago)`;
}

export function podCells(object: Obj, now: number): unknown[] {
  const containers = statuses(object, 'containerStatuses');
  const ready = containers.filter((status) => status['ready'] === true).length;
  const gates = list(at(object, 'spec', 'readinessGates'));
  return [
    object.metadata.name,
    `${ready}/${list(at(object, 'spec', 'containers')).length}`,
    word(object),
    restarts(object, now),
    object.metadata.creationTimestamp === undefined
      ? '<unknown>'
      : duration(now - Date.parse(object.metadata.creationTimestamp)),
    text(at(object, 'status', 'podIP')) || '<none>',
    text(at(object, 'spec', 'nodeName')) || '<none>',
    text(at(object, 'status', 'nominatedNodeName')) || '<none>',
    gates.length === 0 ? '<none>' : `0/${gates.length}`,
  ];
}
