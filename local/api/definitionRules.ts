/** Checks of CustomResourceDefinitions, and the resources that they define. */
import type { Cause } from './errors.js';
import { celFault } from './cel.js';
import { at, isRecord, list, record, text, type Json, type Obj } from './object.js';
import type { Schema } from './schema.js';
import { invalidValue, requiredValue, unsupported } from './validate.js';

const CLEANUP = 'customresourcecleanup.apiextensions.k8s.io';

function prepare(object: Obj): void {
  const spec = record((object['spec'] ??= {}));
  const names = record((spec['names'] ??= {}));
  names['singular'] ??= text(names['kind']).toLowerCase();
  names['listKind'] ??= `${text(names['kind'])}List`;
  spec['conversion'] ??= { strategy: 'None' };
}

function versionFaults(version: Json, field: string): Cause[] {
  const schema = at(version, 'schema', 'openAPIV3Schema');
  if (!isRecord(schema)) return [requiredValue(`${field}.schema.openAPIV3Schema`, 'schemas are required')];
  if (schema['type'] !== 'object')
    return [invalidValue(`${field}.schema.openAPIV3Schema.type`, schema['type'] ?? '', 'must be object at the root')];
  return schemaFaults(schema as Schema, `${field}.schema.openAPIV3Schema`);
}

function schemaFaults(schema: Schema, field: string): Cause[] {
  const causes: Cause[] = [];
  const typed =
    schema.type !== undefined ||
    schema['x-kubernetes-int-or-string'] === true ||
    schema['x-kubernetes-preserve-unknown-fields'] === true;
  if (!typed) causes.push(requiredValue(`${field}.type`, 'must not be empty for specified object fields'));
  if (schema.type === 'array' && schema.items === undefined)
    causes.push(requiredValue(`${field}.items`, 'must be specified'));
  (schema['x-kubernetes-validations'] ?? []).forEach((rule, index) => {
    const fault = celFault(rule.rule);
    if (fault !== '')
      causes.push(
        invalidValue(`${field}.x-kubernetes-validations[${index}].rule`, rule.rule, `compilation failed: ${fault}`),
      );
  });
  for (const [key, part] of Object.entries(schema.properties ?? {}))
    causes.push(...schemaFaults(part, `${field}.properties[${key}]`));
  if (schema.items !== undefined) causes.push(...schemaFaults(schema.items, `${field}.items`));
  if (isRecord(schema.additionalProperties))
    causes.push(...schemaFaults(schema.additionalProperties as Schema, `${field}.additionalProperties`));
  return causes;
}

function validate(object: Obj, old: Obj | undefined): Cause[] {
  const spec = record(object['spec']);
  const names = record(spec['names']);
  const causes = ['group', 'scope'].filter((key) => text(spec[key]) === '').map((key) => requiredValue(`spec.${key}`));
  for (const key of ['plural', 'kind']) if (text(names[key]) === '') causes.push(requiredValue(`spec.names.${key}`));
  const name = `${text(names['plural'])}.${text(spec['group'])}`;
  if (object.metadata.name !== name)
    causes.push(invalidValue('metadata.name', object.metadata.name, 'must be spec.names.plural+"."+spec.group'));
  if (text(spec['scope']) !== '' && !['Namespaced', 'Cluster'].includes(text(spec['scope'])))
    causes.push(unsupported('spec.scope', spec['scope'], ['Cluster', 'Namespaced']));
  const versions = list(spec['versions']).filter(isRecord);
  if (versions.length === 0) causes.push(requiredValue('spec.versions', 'must have at least one version'));
  if (versions.length > 0 && versions.filter((version) => version['storage'] === true).length !== 1)
    causes.push(invalidValue('spec.versions', 'versions', 'must have exactly one version marked as storage version'));
  versions.forEach((version, index) => causes.push(...versionFaults(version, `spec.versions[${index}]`)));
  for (const key of ['group', 'scope'])
    if (old !== undefined && at(old, 'spec', key) !== spec[key])
      causes.push(invalidValue(`spec.${key}`, spec[key], 'field is immutable'));
  return causes;
}

export const definitionRules = {
  prepare,
  validate,
  firstStatus: (): unknown => ({ conditions: [], storedVersions: [] }),
};
export { CLEANUP };
