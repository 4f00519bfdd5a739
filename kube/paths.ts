import type { Kind } from './types.js';

export interface Ref {
  namespace?: string;
  name: string;
}

export type Query = Record<string, string | number | boolean | undefined>;

/** The REST path of a collection (no name) or of one object, with an optional subresource. */
export function resourcePath(
  kind: Kind,
  ref: { namespace?: string; name?: string } = {},
  subresource?: string,
): string {
  const parts = kind.group === '' ? ['api', kind.version] : ['apis', kind.group, kind.version];
  if (kind.namespaced && ref.namespace !== undefined) parts.push('namespaces', ref.namespace);
  parts.push(kind.plural);
  if (ref.name !== undefined) parts.push(ref.name);
  if (subresource !== undefined) parts.push(subresource);
  return '/' + parts.map(encodeURIComponent).join('/');
}

/** `?a=1&b=2`, without undefined values; '' when there is none. */
export function queryString(query: Query): string {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) if (value !== undefined) params.set(key, String(value));
  const text = params.toString();
  return text === '' ? '' : `?${text}`;
}
