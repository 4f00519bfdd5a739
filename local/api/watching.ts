/** Watches: from a state, over the changes since, to the changes as they come; one bounded buffer for each client. */
import type { ServerResponse } from 'node:http';
import { ApiError, badRequest, expired } from './errors.js';
import type { Context } from './context.js';
import { outward } from './context.js';
import type { Change } from './history.js';
import { matcherOf, type Scope } from './listing.js';
import type { Json, Obj } from './object.js';
import { presentationOf, presentOne, tableOf, type Presentation } from './presentation.js';
import { flag, type Form } from './request.js';
import { apiVersionOf } from './resources.js';

/** A client that lets this much pile up is dropped; it lists and watches anew. */
const MOST_BUFFERED = 8 * 1024 * 1024;
/** A real server takes a minute; a client that waits a little longer should never have to wonder. */
const BOOKMARK_EVERY = 30_000;
const INITIAL_END = 'k8s.io/initial-events-end';

export interface Watches {
  open(scope: Scope, form: Form, response: ServerResponse): void;
  close(): void;
}

interface Start {
  /** Resource version after which changes are sent. */
  from: number;
  initial: Obj[];
  /** Ends the initial events with a bookmark that says so. */
  announce: boolean;
}

function startOf(context: Context, scope: Scope): Start {
  const { query } = scope;
  const given = query.get('resourceVersion') ?? '';
  const wantsInitial = query.get('sendInitialEvents');
  if (wantsInitial === null && query.has('resourceVersionMatch'))
    throw invalidMatch('resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided');
  if (wantsInitial !== null && query.get('resourceVersionMatch') !== 'NotOlderThan')
    throw invalidMatch('sendInitialEvents requires setting resourceVersionMatch to NotOlderThan');
  const from = context.store.safeRv();
  const announce = wantsInitial !== null && flag(query, 'sendInitialEvents');
  if (announce || (wantsInitial === null && (given === '' || given === '0')))
    return { from, initial: present(context, scope), announce };
  if (given === '' || given === '0') return { from, initial: [], announce: false };
  const version = Number(given);
  if (!Number.isInteger(version)) throw badRequest(`invalid resource version ${JSON.stringify(given)}`);
  if (version > context.store.rv())
    throw new ApiError({
      code: 504,
      reason: 'Timeout',
      message: `Too large resource version: ${version}, current: ${context.store.rv()}`,
      details: { retryAfterSeconds: 1 },
    });
  return { from: version, initial: [], announce: false };
}

const invalidMatch = (message: string): ApiError =>
  new ApiError({
    code: 422,
    reason: 'Invalid',
    message: `ListOptions.meta.k8s.io "" is invalid: ${message.includes('requires') ? 'resourceVersionMatch' : 'resourceVersionMatch'}: Forbidden: ${message}`,
    details: { group: 'meta.k8s.io', kind: 'ListOptions' },
  });

/** The present state as far as it is safe on disk: changes in flight come as events. */
function present(context: Context, scope: Scope): Obj[] {
  const matches = matcherOf(scope);
  return context.store.safeList(scope.resource.key).filter(matches);
}

export function createWatches(context: Context): Watches {
  const open = new Set<() => void>();
  return {
    open(scope, form, response) {
      const matches = matcherOf(scope);
      const start = startOf(context, scope);
      const missed = context.store.since(start.from);
      const sink = createSink(context, scope, form, response);
      response.writeHead(200, {
        'content-type': form.shape === 'object' ? 'application/json' : formType(form),
        'cache-control': 'no-cache, private',
      });
      response.flushHeaders();
      if (missed === undefined) {
        sink.error(expired(`too old resource version: ${start.from} (${context.store.oldest()})`));
        response.end();
        return;
      }
      for (const object of start.initial) sink.object('ADDED', object);
      if (start.announce) sink.bookmark(start.from, true);
      const pass = (change: Change): void => {
        try {
          sendChange(change, scope.resource.key, matches, sink);
        } catch (error) {
          // One watcher's trouble must not keep the news from the others.
          context.log.error({ error }, 'a watch failed');
          response.destroy();
        }
      };
      missed.forEach(pass);
      const unsubscribe = context.store.subscribe(pass);
      const wantsBookmarks = flag(scope.query, 'allowWatchBookmarks');
      const bookmark = (): void => {
        if (wantsBookmarks) sink.bookmark(context.store.safeRv(), false);
      };
      const ticker = setInterval(bookmark, BOOKMARK_EVERY);
      const ending = setTimeout(() => {
        // So that the client resumes from here.
        bookmark();
        stop();
      }, timeoutOf(scope.query));
      const stop = (): void => {
        unsubscribe();
        clearInterval(ticker);
        clearTimeout(ending);
        open.delete(stop);
        response.end();
      };
      open.add(stop);
      response.on('close', stop);
    },
    close() {
      for (const stop of [...open]) stop();
    },
  };
}

const formType = (form: Form): string =>
  `application/json;as=${form.shape === 'table' ? 'Table' : 'PartialObjectMetadata'};g=meta.k8s.io;v=v1`;

const LONGEST = 10 * 60_000;

/** A real server ends a watch without timeoutSeconds after 30 to 60 minutes; here after ten, spread so that they do not end together. */
function timeoutOf(query: URLSearchParams): number {
  const given = Number(query.get('timeoutSeconds') ?? '0');
  return Number.isFinite(given) && given > 0 ? Math.min(given * 1000, 3_600_000) : LONGEST * (1 + Math.random());
}

/** An object that enters a selector is added to it; one that leaves it is deleted from it. */
function sendChange(change: Change, key: string, matches: (object: Obj) => boolean, sink: Sink): void {
  if (change.resource !== key) return;
  const now = change.type !== 'DELETED' && matches(change.object);
  const before = change.old !== undefined && matches(change.old);
  if (now) sink.object(before ? 'MODIFIED' : 'ADDED', change.object);
  else if (before) sink.object('DELETED', change.type === 'DELETED' ? change.object : leaving(change));
}

const leaving = (change: Change): Obj => {
  const old = change.old ?? change.object;
  return { ...old, metadata: { ...old.metadata, resourceVersion: String(change.rv) } };
};

interface Sink {
  object(type: Change['type'], object: Obj): void;
  bookmark(rv: number, initialEnd: boolean): void;
  error(error: ApiError): void;
}

/** JSON of plain objects is made once for all watchers. */
const encoded = new WeakMap<Obj, string>();

function createSink(context: Context, scope: Scope, form: Form, response: ServerResponse): Sink {
  let columns = true;
  const send = (line: string): void => {
    if (response.destroyed || response.writableEnded) return;
    response.write(line);
    if (response.writableLength > MOST_BUFFERED) response.destroy();
  };
  const how = (): Presentation => presentationOf(context, scope.resource, form, scope.query);
  const json = (object: Obj): string => {
    if (form.shape === 'table') {
      const table = tableOf([object], how(), {
        metadata: { resourceVersion: object.metadata.resourceVersion },
        columns,
      });
      columns = false;
      return JSON.stringify(table);
    }
    if (form.shape === 'metadata' || outward(scope.resource, object) !== object)
      return JSON.stringify(presentOne(object, how()));
    const known = encoded.get(object) ?? JSON.stringify(object);
    encoded.set(object, known);
    return known;
  };
  return {
    object: (type, object) => send(`{"type":"${type}","object":${json(object)}}\n`),
    error: (error) => send(`${JSON.stringify({ type: 'ERROR', object: error.status })}\n`),
    bookmark(rv, initialEnd) {
      const metadata = {
        resourceVersion: String(rv),
        creationTimestamp: null,
        ...(initialEnd ? { annotations: { [INITIAL_END]: 'true' } } : {}),
      };
      const { kind } = scope.resource;
      const plain: Json = { kind, apiVersion: apiVersionOf(scope.resource), metadata };
      const object =
        form.shape === 'object'
          ? plain
          : form.shape === 'metadata'
            ? { ...plain, kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1' }
            : tableBookmark(metadata, how());
      send(`${JSON.stringify({ type: 'BOOKMARK', object })}\n`);
    },
  };
}

const tableBookmark = (metadata: Json, how: Presentation): Json => ({
  ...tableOf([], how, { metadata: { resourceVersion: metadata['resourceVersion'] }, columns: false }),
  rows: [{ cells: [], object: { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata } }],
});
