/** What downward API references (`fieldRef`, `resourceFieldRef`) stand for. Pure. */
import { cpus, totalmem } from 'node:os';
import type { Container, Pod } from '../../kube/kinds.js';

/** Facts that the pod's status does not have yet when its environment is made. */
export interface PodFacts {
  pod: Pod;
  podIP: string;
  hostIP: string;
  nodeName: string;
}

/** The text of one field, or undefined when the API has no such field. */
export function fieldValue(path: string, { pod, podIP, hostIP, nodeName }: PodFacts): string | undefined {
  const keyed = /^metadata\.(labels|annotations)\['([^']+)'\]$/.exec(path);
  if (keyed !== null) return pod.metadata[keyed[1] as 'labels' | 'annotations']?.[keyed[2] as string] ?? '';
  const fields: Record<string, string> = {
    'metadata.name': pod.metadata.name,
    'metadata.namespace': pod.metadata.namespace ?? 'default',
    'metadata.uid': pod.metadata.uid ?? '',
    'metadata.labels': keyValues(pod.metadata.labels),
    'metadata.annotations': keyValues(pod.metadata.annotations),
    'spec.nodeName': nodeName,
    'spec.serviceAccountName': pod.spec.serviceAccountName ?? 'default',
    'status.podIP': podIP,
    'status.podIPs': podIP,
    'status.hostIP': hostIP,
    'status.hostIPs': hostIP,
  };
  return fields[path];
}

const keyValues = (map: Record<string, string> | undefined): string =>
  Object.entries(map ?? {})
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join('\n');

const UNITS: Record<string, number> = {
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
};

/** A quantity (`500m`, `2Gi`) as a number; undefined when it is none. */
export function quantityValue(quantity: string | number): number | undefined {
  const parts = /^([0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)(m|k|M|G|T|Ki|Mi|Gi|Ti)?$/.exec(String(quantity));
  const unit = UNITS[parts?.[2] ?? ''];
  return parts === null || unit === undefined ? undefined : Number(parts[1]) * unit;
}

/** `limits.cpu` and its like, divided and rounded up; a missing limit is what the machine has. */
export function resourceValue(reference: { resource: string; divisor?: string }, container: Container): string {
  const [list, name] = reference.resource.split('.') as ['limits' | 'requests', string];
  const machine: Record<string, number> = { cpu: cpus().length, memory: totalmem() };
  const given = container.resources?.[list]?.[name] ?? container.resources?.limits?.[name];
  const value = given === undefined ? (machine[name] ?? 0) : (quantityValue(given) ?? 0);
  const divisor = quantityValue(reference.divisor ?? '1') ?? 1;
  return String(Math.ceil(value / (divisor === 0 ? 1 : divisor)));
}
