/** Lists: scope, selectors, pages. A page's rest is kept as a snapshot, so that all pages show one moment. */
import { badRequest, expired } from './errors.js';
import type { Context } from './context.js';
import { outward } from './context.js';
import { keyFor, type Json, type Obj } from './object.js';
import type { Resource } from './resources.js';
import { fieldSelector, labelSelector, type Matcher } from './selectors.js';

/** What of a resource a list, a watch or a collection delete means. */
export interface Scope {
  resource: Resource;
  namespace: string;
  name: string;
  query: URLSearchParams;
}

const META_FIELDS = ['metadata.name', 'metadata.namespace'];

/** Throws 400 for a selector that cannot be read. Takes kept objects. */
export function matcherOf(scope: Scope): Matcher {
  const { resource, namespace, name, query } = scope;
  const labels = labelSelector(query.get('labelSelector') ?? '');
  const known = [...META_FIELDS, ...Object.keys(resource.fields)];
  const fields = fieldSelector(query.get('fieldSelector') ?? '', (object) => valuesOf(resource, object), known);
  return (object) =>
    (namespace === '' || object.metadata.namespace === namespace) &&
    (name === '' || object.metadata.name === name) &&
    labels(object) &&
    fields(object);
}

function valuesOf(resource: Resource, object: Obj): Record<string, string> {
  const shown = outward(resource, object);
  const own = Object.entries(resource.fields).map(([field, read]) => [field, read(shown)]);
  const { name, namespace = '' } = object.metadata;
  return {
    ...(Object.fromEntries(own) as Record<string, string>),
    'metadata.name': name,
    'metadata.namespace': namespace,
  };
}

interface Snapshot {
  rv: number;
  rest: Obj[];
  expires: number;
}

export interface Pages {
  keep(snapshot: Omit<Snapshot, 'expires'>, now: number): string;
  take(token: string, now: number): Snapshot;
}

const MOST_SNAPSHOTS = 200;
const SNAPSHOT_LIFE = 5 * 60_000;

/** Snapshots of unfinished lists: bounded in number and age; a lost one answers 410, and the client lists anew. */
export function createPages(): Pages {
  const snapshots = new Map<string, Snapshot>();
  let counter = 0;
  return {
    keep(snapshot, now) {
      const id = String(++counter);
      snapshots.set(id, { ...snapshot, expires: now + SNAPSHOT_LIFE });
      const oldest = snapshots.keys().next().value;
      if (snapshots.size > MOST_SNAPSHOTS && oldest !== undefined) snapshots.delete(oldest);
      const start = snapshot.rest[0] === undefined ? '' : keyFor(snapshot.rest[0].metadata);
      return Buffer.from(JSON.stringify({ v: 'meta.k8s.io/v1', rv: snapshot.rv, start, id })).toString('base64url');
    },
    take(token, now) {
      const id = readToken(token);
      const found = snapshots.get(id);
      if (found === undefined || found.expires < now)
        throw expired(
          'The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter.',
        );
      return found;
    },
  };
}

function readToken(token: string): string {
  try {
    const value = JSON.parse(Buffer.from(token, 'base64url').toString()) as { id?: unknown };
    if (typeof value.id === 'string') return value.id;
  } catch {
    // Falls through to the answer for a token that is none of ours.
  }
  throw badRequest('continue key is not valid');
}

export interface Listed {
  items: Obj[];
  metadata: Json;
}

/** One page of a list, as kept objects with the list's metadata. */
export function listObjects(context: Context, pages: Pages, scope: Scope): Listed {
  const { query, resource } = scope;
  const now = context.clock.now();
  const limit = Number(query.get('limit') ?? '0');
  if (!Number.isInteger(limit) || limit < 0)
    throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(query.get('limit'))}: invalid syntax`);
  const token = query.get('continue') ?? '';
  const matches = matcherOf(scope);
  checkVersion(context, query);
  const { rv, rest } =
    token === ''
      ? { rv: context.store.rv(), rest: context.store.list(resource.key).filter(matches) }
      : pages.take(token, now);
  if (limit === 0 || rest.length <= limit) return { items: rest, metadata: { resourceVersion: String(rv) } };
  const left = rest.slice(limit);
  const next = pages.keep({ rv, rest: left }, now);
  const selective = query.has('labelSelector') || query.has('fieldSelector');
  return {
    items: rest.slice(0, limit),
    metadata: {
      resourceVersion: String(rv),
      continue: next,
      ...(selective ? {} : { remainingItemCount: left.length }),
    },
  };
}

/** An exact old state is not kept here: lists show the present, so only a version from the future is refused. */
function checkVersion(context: Context, query: URLSearchParams): void {
  const given = query.get('resourceVersion') ?? '';
  const match = query.get('resourceVersionMatch') ?? '';
  if (match !== '' && given === '')
    throw badRequest('resourceVersionMatch is forbidden unless resourceVersion is provided');
  if (given === '' || given === '0') return;
  const version = Number(given);
  if (!Number.isInteger(version)) throw badRequest(`invalid resource version ${JSON.stringify(given)}`);
  if (match === 'Exact' && version !== context.store.rv()) throw expired('The provided resource version is too old.');
}
