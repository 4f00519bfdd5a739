// Makes builtin.json from a real API server: `kubectl proxy` address as the argument. The structure of the built-in kinds
// (names, types, list types, merge keys) is taken; descriptions are left out.
import { writeFileSync } from 'node:fs';

const server = process.argv[2];
const KINDS = {
  'api/v1': [
    'Pod',
    'Service',
    'Secret',
    'ConfigMap',
    'PersistentVolumeClaim',
    'PersistentVolume',
    'ServiceAccount',
    'Event',
    'Namespace',
    'Node',
    'ResourceQuota',
    'Binding',
  ],
  'apis/coordination.k8s.io/v1': ['Lease'],
  'apis/discovery.k8s.io/v1': ['EndpointSlice'],
  'apis/events.k8s.io/v1': ['Event'],
  'apis/storage.k8s.io/v1': ['StorageClass'],
  'apis/networking.k8s.io/v1': ['NetworkPolicy'],
  'apis/apiextensions.k8s.io/v1': ['CustomResourceDefinition'],
  'apis/authorization.k8s.io/v1': ['SelfSubjectAccessReview'],
  'apis/autoscaling/v1': ['Scale'],
};
const CUT = {
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps': {
    type: 'object',
    'x-kubernetes-preserve-unknown-fields': true,
  },
};
const schemas = {};
const kinds = {};

function clean(node, all) {
  if (Array.isArray(node)) return node.map((item) => clean(item, all));
  if (node === null || typeof node !== 'object') return node;
  if (Array.isArray(node.allOf) && node.allOf.length === 1 && node.allOf[0].$ref)
    return { ...pick(node), ...clean(node.allOf[0], all) };
  const out = {};
  for (const [key, value] of Object.entries(node)) {
    if (key === 'description' && typeof value === 'string') continue;
    if (key === 'x-kubernetes-group-version-kind') continue;
    if (key === '$ref') take(value.split('/').pop(), all);
    out[key] =
      key === 'properties'
        ? Object.fromEntries(Object.entries(value).map(([k, v]) => [k, clean(v, all)]))
        : key === 'default'
          ? value
          : clean(value, all);
  }
  return out;
}
const pick = (node) =>
  Object.fromEntries(Object.entries(node).filter(([key]) => key === 'default' || key.startsWith('x-')));
function take(name, all) {
  if (schemas[name] !== undefined) return;
  schemas[name] = {};
  schemas[name] = CUT[name] ?? clean(all[name], all);
}

for (const [path, names] of Object.entries(KINDS)) {
  const doc = await (await fetch(`${server}/openapi/v3/${path}`)).json();
  const all = doc.components.schemas;
  const [group, version] = path === 'api/v1' ? ['', 'v1'] : path.split('/').slice(1);
  for (const kind of names) {
    const of = (gvk) => gvk.group === group && gvk.version === version && gvk.kind === kind;
    const found = Object.entries(all).find(([, schema]) => schema['x-kubernetes-group-version-kind']?.some(of));
    const name = found?.[0] ?? Object.keys(all).find((key) => key.endsWith(`.autoscaling.v1.${kind}`));
    take(name, all);
    kinds[`${group}/${version}/${kind}`] = name;
  }
}
const sorted = Object.fromEntries(Object.entries(schemas).sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync(new URL('builtin.json', import.meta.url), JSON.stringify({ kinds, schemas: sorted }) + '\n');
