/** OpenAPI documents: enough for `kubectl explain`, and for kubectl to know that the server checks fields itself. */
import { createHash } from 'node:crypto';
import { isRecord, type Json } from './object.js';
import { apiVersionOf, type Registry, type Resource } from './resources.js';
import { builtinSchemas, META, type Schema } from './schema.js';

const REF = '#/components/schemas/';
const gvkOf = ({ group, version, kind }: Resource): Json => ({ group, version, kind });

/** Reverse-DNS name of a custom kind's schema, as real servers write it. */
const customName = ({ group, version, kind }: Resource): string =>
  `${group.split('.').reverse().join('.')}.${version}.${kind}`;

const nameOf = (resource: Resource): string =>
  builtinSchemas().kinds[`${resource.group}/${resource.version}/${resource.kind}`] ?? customName(resource);

/** Built-in schemas that this one needs, by name. */
function needed(name: string, into: Map<string, Schema>): void {
  const schema = builtinSchemas().schemas[name];
  if (schema === undefined || into.has(name)) return;
  into.set(name, schema);
  for (const reference of references(schema)) needed(reference, into);
}

function references(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(references);
  if (!isRecord(value)) return [];
  return Object.entries(value).flatMap(([key, item]) =>
    key === '$ref' ? [String(item).slice(REF.length)] : references(item),
  );
}

function customSchema(resource: Resource): Schema {
  const { properties, ...rest } = resource.schema;
  const meta = { allOf: [{ $ref: `${REF}${META}` }], description: 'Standard object metadata.', default: {} };
  return {
    ...rest,
    properties: {
      ...properties,
      apiVersion: { type: 'string', description: 'The version of this representation.' },
      kind: { type: 'string', description: 'The kind of this object.' },
      metadata: meta,
    },
  };
}

const parameter = (name: string): Json => ({ name, in: 'query', schema: { type: 'string', uniqueItems: true } });

/** The paths of one resource with the parameters that kubectl looks for. */
function pathsOf(resource: Resource): Json {
  const base = resource.group === '' ? '/api/v1' : `/apis/${apiVersionOf(resource)}`;
  const scoped = `${base}${resource.namespaced ? '/namespaces/{namespace}' : ''}/${resource.plural}`;
  const gvk = { 'x-kubernetes-group-version-kind': gvkOf(resource) };
  const content = { 'application/json': { schema: { $ref: `${REF}${nameOf(resource)}` } } };
  const answers = { 200: { description: 'OK', content } };
  const write = [parameter('dryRun'), parameter('fieldManager'), parameter('fieldValidation')];
  const operation = (action: string, parameters: Json[]): Json => ({
    'x-kubernetes-action': action,
    ...gvk,
    parameters,
    responses: answers,
  });
  return {
    [scoped]: {
      get: operation('list', []),
      post: operation('post', write),
      delete: operation('deletecollection', [parameter('dryRun')]),
    },
    [`${scoped}/{name}`]: {
      get: operation('get', []),
      put: operation('put', write),
      patch: operation('patch', [...write, parameter('force')]),
      delete: operation('delete', [parameter('dryRun')]),
    },
  };
}

function schemasOf(resources: Resource[]): Json {
  const found = new Map<string, Schema>();
  for (const resource of resources) {
    const name = nameOf(resource);
    if (resource.custom) {
      needed(META, found);
      found.set(name, customSchema(resource));
    } else needed(name, found);
    const schema = found.get(name);
    if (schema !== undefined)
      found.set(name, { ...schema, 'x-kubernetes-group-version-kind': [gvkOf(resource)] } as Schema);
  }
  return Object.fromEntries(found);
}

const INFO = { title: 'Kubernetes', version: 'v1.34.0' };
const keyOf = (resource: Resource): string => (resource.group === '' ? 'api/v1' : `apis/${apiVersionOf(resource)}`);

export interface OpenApi {
  /** GET /openapi/v3. */
  index(): Json;
  /** GET /openapi/v3/{key}, as JSON text. */
  document(key: string): string | undefined;
  /** GET /openapi/v2, as JSON text. */
  v2(): string;
}

/** Documents are made when asked for, and again after the registry changed. */
export function createOpenApi(registry: Registry): OpenApi {
  let revision = 0;
  const made = new Map<string, string>();
  const cached = (key: string, make: () => Json | undefined): string | undefined => {
    if (revision !== registry.revision()) made.clear();
    revision = registry.revision();
    const known = made.get(key);
    if (known !== undefined) return known;
    const value = make();
    if (value === undefined) return undefined;
    const written = JSON.stringify(value);
    made.set(key, written);
    return written;
  };
  const document = (key: string): string | undefined =>
    cached(key, () => {
      const resources = registry.all().filter((resource) => keyOf(resource) === key);
      if (resources.length === 0) return undefined;
      const paths = Object.assign({}, ...resources.map(pathsOf)) as Json;
      return { openapi: '3.0.0', info: INFO, paths, components: { schemas: schemasOf(resources) } };
    });
  return {
    document,
    index() {
      const keys = [...new Set(registry.all().map(keyOf))];
      const hash = (key: string) =>
        createHash('sha256')
          .update(document(key) ?? '')
          .digest('hex')
          .toUpperCase();
      return {
        paths: Object.fromEntries(
          keys.map((key) => [key, { serverRelativeURL: `/openapi/v3/${key}?hash=${hash(key)}` }]),
        ),
      };
    },
    v2: () =>
      cached('v2', () => ({
        swagger: '2.0',
        info: INFO,
        paths: {},
        definitions: JSON.parse(JSON.stringify(schemasOf(registry.all())).replaceAll(REF, '#/definitions/')) as Json,
      })) ?? '{}',
  };
}
