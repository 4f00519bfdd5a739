/** From an HTTP request to a verb, and from its outcome to an HTTP answer. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { stringify } from 'yaml';
import { targetUrl } from '../../process/target.js';
import { ApiError, internalError, methodNotAllowed, NoSuchPath, noSuchResource, unauthorized } from './errors.js';
import type { Context } from './context.js';
import {
  aggregated,
  AGGREGATED_TYPE,
  coreVersions,
  groupList,
  groupOf,
  resourceList,
  REVIEWS,
  wantsAggregated,
} from './discovery.js';
import { listObjects, type Pages } from './listing.js';
import { type Json, type Obj } from './object.js';
import type { OpenApi } from './openapi.js';
import type { Access } from './access.js';
import type { PodGate } from './podGate.js';
import { presentationOf, presentList, presentOne } from './presentation.js';
import { decodeObject, flag, negotiate, parseTarget, readBody, type Form, type Target } from './request.js';
import type { Resource } from './resources.js';
import { review } from './reviews.js';
import * as verbs from './verbs.js';
import type { Watches } from './watching.js';

export interface Parts {
  context: Context;
  access: Access;
  openapi: OpenApi;
  pages: Pages;
  watches: Watches;
  pods: PodGate;
  /** Why the server is not ready; empty when it is. */
  faults(): string[];
}

const OPENAPI_PROTOBUF = 'application/com.github.proto-openapi.spec.v2';
/** `{swagger: "2.0", info: {}}`: clients that take only protobuf learn that nothing is described there, and go on. */
const EMPTY_OPENAPI = Buffer.from([0x0a, 3, 0x32, 0x2e, 0x30, 0x12, 0]);

const VERSION = {
  major: '1',
  minor: '34',
  gitVersion: 'v1.34.0+sandlot',
  gitCommit: '',
  gitTreeState: 'clean',
  buildDate: '1970-01-01T00:00:00Z',
  goVersion: 'none',
  compiler: 'node',
  platform: `${process.platform}/${process.arch}`,
};

/** Answers one request; never rejects. */
export async function answer(parts: Parts, request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    const url = targetUrl(request.url);
    if (url === undefined) throw new NoSuchPath();
    await dispatch(parts, { request, response, url });
  } catch (error) {
    await fail(parts, response, error);
  }
}

interface Exchange {
  request: IncomingMessage;
  response: ServerResponse;
  url: URL;
}

async function dispatch(parts: Parts, exchange: Exchange): Promise<void> {
  const { request, response, url } = exchange;
  const path = url.pathname.replace(/\/+$/, '') || '/';
  if (health(parts, path, response)) return;
  if (!parts.access.allows(request)) throw unauthorized();
  if (['/version', '/', '/api', '/apis'].includes(path) || path.startsWith('/openapi/'))
    return general(parts, exchange, path);
  if (!path.startsWith('/api/') && !path.startsWith('/apis/')) throw new NoSuchPath();
  const target = parseTarget(path);
  if (target === undefined) return groupPath(parts, exchange, path);
  const reviewing = REVIEWS.find(
    (one) => one.group === target.group && one.plural === target.plural && target.version === 'v1',
  );
  if (reviewing !== undefined) {
    if (request.method !== 'POST' || target.name !== '') throw methodNotAllowed();
    const body = decodeObject(await readBody(request), mediaType(request));
    return send(response, 201, review(reviewing.group, reviewing.plural, reviewing.kind, body) ?? {}, JSON_FORM);
  }
  const resource = parts.context.registry.find(target.group, target.version, target.plural);
  if (resource === undefined) throw missingResource(parts, target);
  await onResource(parts, exchange, { resource, target });
}

/** Groups of built-in kinds answer with a Status, others do not know the path. */
function missingResource({ context }: Parts, { group, version }: Target): Error {
  const served = context.registry.all().some((one) => !one.custom && one.group === group && one.version === version);
  return served ? noSuchResource() : new NoSuchPath();
}

const mediaType = (request: IncomingMessage): string =>
  (request.headers['content-type'] ?? '').split(';')[0]?.trim() ?? '';

const JSON_FORM: Form = { as: 'json', shape: 'object' };

function health(parts: Parts, path: string, response: ServerResponse): boolean {
  const name = /^\/(healthz|livez|readyz)(\/[\w-]+)?$/.exec(path)?.[1];
  if (name === undefined) return false;
  const faults = parts.faults();
  response.writeHead(faults.length === 0 ? 200 : 500, {
    'content-type': 'text/plain; charset=utf-8',
    'x-content-type-options': 'nosniff',
  });
  response.end(faults.length === 0 ? 'ok' : faults.map((fault) => `[-]${fault}\n`).join(''));
  return true;
}

function general(parts: Parts, { request, response }: Exchange, path: string): void {
  if (request.method !== 'GET' && request.method !== 'HEAD') throw methodNotAllowed();
  const { registry } = parts.context;
  const core = path === '/api';
  if ((core || path === '/apis') && wantsAggregated(request.headers.accept))
    return sendText(response, JSON.stringify(aggregated(registry, core)), AGGREGATED_TYPE);
  if (core) return send(response, 200, coreVersions(request.headers.host ?? ''), JSON_FORM);
  if (path === '/apis') return send(response, 200, groupList(registry), JSON_FORM);
  if (path === '/version') return send(response, 200, VERSION, JSON_FORM);
  if (path === '/')
    return send(
      response,
      200,
      {
        paths: ['/api', '/api/v1', '/apis', '/healthz', '/livez', '/openapi/v2', '/openapi/v3', '/readyz', '/version'],
      },
      JSON_FORM,
    );
  if (path === '/openapi/v3') return send(response, 200, parts.openapi.index(), JSON_FORM);
  if (path === '/openapi/v2') {
    if ((request.headers.accept ?? '').startsWith(OPENAPI_PROTOBUF)) {
      response.writeHead(200, { 'content-type': OPENAPI_PROTOBUF });
      response.end(EMPTY_OPENAPI);
      return;
    }
    negotiate(request.headers.accept);
    return sendText(response, parts.openapi.v2(), 'application/json');
  }
  const document = parts.openapi.document(path.slice('/openapi/v3/'.length));
  if (document === undefined) throw new NoSuchPath();
  sendText(response, document, 'application/json');
}

function groupPath(parts: Parts, { request, response }: Exchange, path: string): void {
  if (request.method !== 'GET' && request.method !== 'HEAD') throw methodNotAllowed();
  const [, root, first = '', second] = path.split('/');
  const { registry } = parts.context;
  const body =
    root === 'api'
      ? resourceList(registry, '', first)
      : second === undefined
        ? groupOf(registry, first)
        : resourceList(registry, first, second);
  if (body === undefined) throw new NoSuchPath();
  send(response, 200, body, JSON_FORM);
}

interface Aim {
  resource: Resource;
  target: Target;
}

async function onResource(parts: Parts, exchange: Exchange, aim: Aim): Promise<void> {
  const { request, response, url } = exchange;
  const { resource, target } = aim;
  if (!resource.namespaced && target.namespace !== '') throw new NoSuchPath();
  if (resource.subresources.includes(target.subresource) && (await special(parts, exchange, aim))) return;
  const known =
    target.subresource === '' ||
    (target.subresource === 'status' && resource.status) ||
    (target.subresource === 'scale' && resource.scale !== undefined);
  if (!known || (resource.namespaced && target.namespace === '' && target.name !== '')) throw new NoSuchPath();
  const form = negotiate(request.headers.accept);
  if (target.name === '') return await onCollection(parts, exchange, { ...aim, form });
  const outcome = await onObject(parts, await callOf(exchange, aim));
  await parts.context.store.flushed();
  for (const warning of outcome.warnings.slice(0, 50))
    response.appendHeader('warning', `299 - ${JSON.stringify(warning)}`);
  const body =
    outcome.body ?? presentOne(outcome.object as Obj, presentationOf(parts.context, resource, form, url.searchParams));
  send(response, outcome.code, body, outcome.body === undefined ? form : { ...form, shape: 'object' });
}

async function callOf({ request, url }: Exchange, aim: Aim): Promise<verbs.Call> {
  const contentType = mediaType(request);
  const reads = request.method === 'GET' || request.method === 'HEAD';
  return {
    ...aim,
    query: url.searchParams,
    body: reads ? Buffer.alloc(0) : await readBody(request),
    contentType,
    userAgent: request.headers['user-agent'] ?? '',
    method: request.method ?? '',
  };
}

async function onObject({ context }: Parts, call: verbs.Call): Promise<verbs.Outcome> {
  switch (call.method) {
    case 'GET':
    case 'HEAD':
      return verbs.get(context, call);
    case 'PUT':
      return verbs.update(context, call);
    case 'PATCH':
      return await verbs.patch(context, call);
    case 'DELETE':
      if (call.target.subresource !== '') throw methodNotAllowed();
      return verbs.remove(context, call);
    default:
      throw methodNotAllowed();
  }
}

type FormedAim = Aim & { form: Form };

function watch(parts: Parts, { response, url }: Exchange, { resource, target, form }: FormedAim): void {
  parts.watches.open(
    { resource, namespace: target.namespace, name: target.name, query: url.searchParams },
    form,
    response,
  );
}

async function onCollection(parts: Parts, exchange: Exchange, aim: FormedAim): Promise<void> {
  const { request, response, url } = exchange;
  const { context } = parts;
  const { resource, target, form } = aim;
  const scope = { resource, namespace: target.namespace, name: '', query: url.searchParams };
  const how = presentationOf(context, resource, form, url.searchParams);
  if (request.method === 'GET' || request.method === 'HEAD') {
    if (flag(url.searchParams, 'watch')) return watch(parts, exchange, aim);
    const { items, metadata } = listObjects(context, parts.pages, scope);
    await context.store.flushed();
    return send(response, 200, presentList(items, metadata, how), form);
  }
  const scoped = !resource.namespaced || target.namespace !== '';
  if (request.method === 'POST' && scoped) {
    const outcome = await verbs.create(context, await callOf(exchange, aim));
    await context.store.flushed();
    for (const warning of outcome.warnings.slice(0, 50))
      response.appendHeader('warning', `299 - ${JSON.stringify(warning)}`);
    return send(response, outcome.code, presentOne(outcome.object as Obj, how), form);
  }
  if (request.method !== 'DELETE' || !scoped) throw methodNotAllowed();
  const removed = verbs.removeAll(context, await callOf(exchange, aim));
  await context.store.flushed();
  send(response, 200, presentList(removed, { resourceVersion: String(context.store.rv()) }, how), form);
}

/** Subresources with their own ways. True when the request was answered. */
async function special(parts: Parts, exchange: Exchange, aim: Aim): Promise<boolean> {
  const { request, response } = exchange;
  const { subresource } = aim.target;
  if (subresource === 'log') {
    if (request.method !== 'GET') throw methodNotAllowed();
    await parts.pods.log(exchange, aim);
    return true;
  }
  if (subresource === 'binding') {
    if (request.method !== 'POST') throw methodNotAllowed();
    const outcome = verbs.bind(parts.context, await callOf(exchange, aim));
    await parts.context.store.flushed();
    send(response, outcome.code, outcome.body ?? {}, JSON_FORM);
    return true;
  }
  if (subresource === 'finalize') throw methodNotAllowed();
  throw new ApiError({ code: 400, reason: 'BadRequest', message: 'Upgrade request required' });
}

function send(response: ServerResponse, code: number, body: Json, form: Form): void {
  const type = form.as === 'yaml' ? 'application/yaml' : 'application/json';
  const written = form.as === 'yaml' ? stringify(body) : `${JSON.stringify(body)}\n`;
  response.writeHead(code, { 'content-type': type, 'cache-control': 'no-cache, private' });
  response.end(written);
}

function sendText(response: ServerResponse, text: string, type: string): void {
  response.writeHead(200, { 'content-type': type, 'cache-control': 'no-cache, private' });
  response.end(text);
}

async function fail(parts: Parts, response: ServerResponse, error: unknown): Promise<void> {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  if (error instanceof NoSuchPath) {
    response.writeHead(404, { 'content-type': 'text/plain; charset=utf-8' });
    response.end('404 page not found\n');
    return;
  }
  const known =
    error instanceof ApiError ? error : internalError(error instanceof Error ? error.message : String(error));
  if (!(error instanceof ApiError)) parts.context.log.error({ error }, 'a request failed');
  // Refusals speak of the present state, so that must be safe too; a broken disk is what they then say.
  await parts.context.store.flushed().catch(() => undefined);
  send(response, known.status.code ?? 500, { ...known.status }, JSON_FORM);
}
