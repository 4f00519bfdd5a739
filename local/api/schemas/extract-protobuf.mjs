// Makes protobuf.json from the Go modules' .proto files (argument: the folder k8s.io of a Go module cache): the field numbers
// of the built-in kinds that kubectl sends in protobuf. Needs builtin.json, which tells the inlined fields.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const modules = process.argv[2];
const VERSION = 'v0.34.4';
const FILES = [
  ['api', 'core/v1'],
  ['api', 'coordination/v1'],
  ['api', 'discovery/v1'],
  ['api', 'events/v1'],
  ['api', 'storage/v1'],
  ['api', 'networking/v1'],
  ['api', 'authorization/v1'],
  ['api', 'authentication/v1'],
  ['apimachinery', 'pkg/apis/meta/v1'],
  ['apimachinery', 'pkg/api/resource'],
  ['apimachinery', 'pkg/util/intstr'],
  ['apimachinery', 'pkg/runtime'],
];
const ROOTS = {
  'v1/': [
    'core.v1',
    [
      'Pod',
      'Service',
      'Secret',
      'ConfigMap',
      'Namespace',
      'Node',
      'PersistentVolumeClaim',
      'PersistentVolume',
      'ServiceAccount',
      'ResourceQuota',
      'Event',
      'Binding',
    ],
  ],
  'coordination.k8s.io/v1/': ['coordination.v1', ['Lease']],
  'discovery.k8s.io/v1/': ['discovery.v1', ['EndpointSlice']],
  'events.k8s.io/v1/': ['events.v1', ['Event']],
  'storage.k8s.io/v1/': ['storage.v1', ['StorageClass']],
  'networking.k8s.io/v1/': ['networking.v1', ['NetworkPolicy']],
  'authorization.k8s.io/v1/': ['authorization.v1', ['SelfSubjectAccessReview', 'SelfSubjectRulesReview']],
  'authentication.k8s.io/v1/': ['authentication.v1', ['SelfSubjectReview']],
};
const openapi = JSON.parse(readFileSync(new URL('builtin.json', import.meta.url), 'utf8')).schemas;
const all = new Map();
for (const [module, path] of FILES) {
  const source = readFileSync(join(modules, `${module}@${VERSION}`, path, 'generated.proto'), 'utf8').replace(
    /\/\/.*$/gm,
    '',
  );
  const prefix = `k8s.io.${module}.${path.replaceAll('/', '.')}`;
  for (const [, name, body] of source.matchAll(/^message (\w+) \{([^}]*)\}/gm)) {
    const fields = [...body.matchAll(/(optional|repeated|map<string, ?([\w.]+)>)\s*([\w.]*)\s+(\w+) = (\d+);/g)].map(
      ([, label, mapped, type, field, number]) => {
        const raw = mapped ?? type;
        const scalar = /^(string|bytes|bool|int32|int64|uint32|uint64|double|float)$/.test(raw);
        return {
          number,
          field,
          type: scalar ? raw : raw.startsWith('.') ? raw.slice(1) : raw.includes('.') ? raw : `${prefix}.${raw}`,
          label: mapped !== undefined ? 'map' : label,
        };
      },
    );
    all.set(`${prefix}.${name}`, fields);
  }
}
const messages = {};
const short = (name) => name.replace(/^k8s\.io\.(api|apimachinery\.pkg)\./, '');
function take(name) {
  const key = short(name);
  if (messages[key] !== undefined || !all.has(name)) return;
  messages[key] = {};
  const properties = openapi[`io.${name.replace(/^k8s\.io/, 'k8s')}`]?.properties;
  for (const { number, field, type, label } of all.get(name)) {
    const message = type.includes('.');
    const inline = message && label === 'optional' && properties !== undefined && properties[field] === undefined;
    messages[key][number] = [
      inline ? '' : field,
      message ? short(type) : type,
      ...(label === 'optional' ? [] : [label]),
    ];
    if (message) take(type);
  }
}
const kinds = {};
for (const [prefix, [group, names]] of Object.entries(ROOTS))
  for (const name of names) {
    kinds[prefix + name] = `${group}.${name}`;
    take(`k8s.io.api.${group}.${name}`);
  }
take('k8s.io.apimachinery.pkg.apis.meta.v1.DeleteOptions');
writeFileSync(new URL('protobuf.json', import.meta.url), JSON.stringify({ kinds, messages }) + '\n');
