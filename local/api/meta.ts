/** Checks of metadata, the same for every kind. */
import type { Cause } from './errors.js';
import { isRecord, list, record, text, type Obj } from './object.js';
import { labelValueFault, qualifiedNameFault } from './quantity.js';
import type { Resource } from './resources.js';
import { forbiddenField, invalidValue, requiredValue } from './validate.js';

export function metaFaults(object: Obj, old: Obj | undefined, resource: Resource): Cause[] {
  const { metadata } = object;
  const causes: Cause[] = [];
  if (old === undefined) {
    const fault = resource.rules.nameFault(metadata.name);
    if (fault !== '') causes.push(invalidValue('metadata.name', metadata.name, fault));
  }
  for (const [key, value] of Object.entries(record(metadata.labels))) {
    const fault = qualifiedNameFault(key);
    if (fault !== '') causes.push(invalidValue('metadata.labels', key, fault));
    if (labelValueFault(String(value)) !== '')
      causes.push(invalidValue('metadata.labels', value, labelValueFault(String(value))));
  }
  for (const key of Object.keys(record(metadata.annotations))) {
    const fault = qualifiedNameFault(key.toLowerCase());
    if (fault !== '') causes.push(invalidValue('metadata.annotations', key, fault));
  }
  return [...causes, ...annotationSize(object), ...ownerFaults(object), ...finalizerFaults(object, old)];
}

const MOST_ANNOTATIONS = 256 * 1024;

function annotationSize(object: Obj): Cause[] {
  const entries = Object.entries(record(object.metadata.annotations));
  const size = entries.reduce((sum, [key, value]) => sum + key.length + String(value).length, 0);
  if (size <= MOST_ANNOTATIONS) return [];
  return [
    {
      reason: 'FieldValueTooLong',
      field: 'metadata.annotations',
      message: `Too long: may not be more than ${MOST_ANNOTATIONS} bytes`,
    },
  ];
}

function ownerFaults(object: Obj): Cause[] {
  const owners = list(object.metadata.ownerReferences).filter(isRecord);
  const causes = owners.flatMap((owner, index) =>
    ['apiVersion', 'kind', 'name', 'uid']
      .filter((key) => text(owner[key]) === '')
      .map((key) =>
        invalidValue(
          `metadata.ownerReferences[${index}].${key}`,
          owner[key] ?? '',
          `${key === 'apiVersion' ? 'version' : key} must not be empty`,
        ),
      ),
  );
  const controllers = owners.filter((owner) => owner['controller'] === true);
  if (controllers.length > 1)
    causes.push(
      invalidValue(
        'metadata.ownerReferences',
        owners,
        `Only one reference can have Controller set to true. Found "true" in references for ${controllers.map((owner) => text(owner['name'])).join(' and ')}`,
      ),
    );
  return causes;
}

function finalizerFaults(object: Obj, old: Obj | undefined): Cause[] {
  const finalizers = list(object.metadata.finalizers).map(text);
  const causes = finalizers
    .filter((name) => !['orphan', 'foregroundDeletion'].includes(name))
    .flatMap((name) => {
      const fault = qualifiedNameFault(name);
      return fault === '' ? [] : [invalidValue('metadata.finalizers', name, fault)];
    });
  const fresh = finalizers.filter((name) => !list(old?.metadata.finalizers).includes(name));
  if (old?.metadata.deletionTimestamp !== undefined && fresh.length > 0)
    causes.push(
      forbiddenField(
        'metadata.finalizers',
        `no new finalizers can be added if the object is being deleted, found new finalizers []string{${fresh.map((name) => JSON.stringify(name)).join(', ')}}`,
      ),
    );
  return causes;
}

/** A name that must come with the object, when nothing names it. */
export const missingName = (): Cause => requiredValue('metadata.name', 'name or generateName is required');
