/** The forms in which objects leave: themselves, rows of a Table, or metadata alone. */
import type { Context } from './context.js';
import { outward } from './context.js';
import type { Json, Obj } from './object.js';
import type { Form } from './request.js';
import { apiVersionOf, type Resource } from './resources.js';

export type IncludeObject = 'None' | 'Metadata' | 'Object';

export interface Presentation {
  form: Form;
  includeObject: IncludeObject;
  resource: Resource;
  now: number;
}

export const includeObject = (query: URLSearchParams): IncludeObject => {
  const value = query.get('includeObject');
  return value === 'None' || value === 'Object' ? value : 'Metadata';
};

const partial = (object: Obj): Json => ({
  kind: 'PartialObjectMetadata',
  apiVersion: 'meta.k8s.io/v1',
  metadata: object.metadata,
});

function row(object: Obj, how: Presentation): Json {
  const shown = outward(how.resource, object);
  return {
    cells: how.resource.table.cells(object, how.now),
    ...(how.includeObject === 'None' ? {} : { object: how.includeObject === 'Object' ? shown : partial(shown) }),
  };
}

/** A Table of these rows. Watches leave out the columns after the first event, as a real server does. */
export function tableOf(objects: Obj[], how: Presentation, list: { metadata: Json; columns: boolean }): Json {
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata: list.metadata,
    columnDefinitions: list.columns ? how.resource.table.columns : null,
    rows: objects.map((object) => row(object, how)),
  };
}

export function presentOne(object: Obj, how: Presentation): Json {
  const shown = outward(how.resource, object);
  if (how.form.shape === 'metadata') return partial(shown);
  if (how.form.shape === 'object') return shown;
  return tableOf([object], how, { metadata: { resourceVersion: object.metadata.resourceVersion }, columns: true });
}

export function presentList(objects: Obj[], metadata: Json, how: Presentation): Json {
  if (how.form.shape === 'table') return tableOf(objects, how, { metadata, columns: true });
  const shown = objects.map((object) => outward(how.resource, object));
  if (how.form.shape === 'metadata')
    return { kind: 'PartialObjectMetadataList', apiVersion: 'meta.k8s.io/v1', metadata, items: shown.map(partial) };
  return { kind: how.resource.listKind, apiVersion: apiVersionOf(how.resource), metadata, items: shown };
}

export const presentationOf = (
  context: Context,
  resource: Resource,
  form: Form,
  query: URLSearchParams,
): Presentation => ({
  form,
  includeObject: includeObject(query),
  resource,
  now: context.clock.now(),
});
