/** The scale subresource: a view of a custom object's replicas. */
import { invalid } from './errors.js';
import { jsonPath } from './jsonpath.js';
import { isRecord, record, text, type Json, type Obj } from './object.js';
import type { Resource, ScalePaths } from './resources.js';
import { invalidValue } from './validate.js';

export function scaleOf(object: Obj, paths: ScalePaths): Obj {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const read = (path: string | undefined): unknown => (path === undefined ? undefined : jsonPath(path)(object)[0]);
  const selector = text(read(paths.labelSelectorPath));
  return {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp } as Obj['metadata'],
    spec: { replicas: Number(read(paths.specReplicasPath) ?? 0) },
    status: { replicas: Number(read(paths.statusReplicasPath) ?? 0), ...(selector === '' ? {} : { selector }) },
  };
}

/** The object with the replicas that a Scale asks for. */
export function scaled(resource: Resource, object: Obj, scale: Json): Obj {
  const replicas = record(scale['spec'])['replicas'] ?? 0;
  if (!Number.isInteger(replicas) || Number(replicas) < 0)
    throw invalid({ group: 'autoscaling', kind: 'Scale' }, object.metadata.name, [
      invalidValue('spec.replicas', replicas, 'should be a non-negative integer'),
    ]);
  const keys = (resource.scale?.specReplicasPath ?? '').split('.').slice(1);
  const metadata = record(scale['metadata']);
  const next = put(object, keys, replicas) as Obj;
  return { ...next, metadata: { ...object.metadata, resourceVersion: text(metadata['resourceVersion']) } };
}

function put(value: unknown, keys: string[], leaf: unknown): unknown {
  const [key, ...rest] = keys;
  if (key === undefined) return leaf;
  const base = isRecord(value) ? value : {};
  return { ...base, [key]: put(base[key], rest, leaf) };
}
