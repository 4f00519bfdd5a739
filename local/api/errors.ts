/** Every error answer of the API as a typed error: code, reason and text as a real API server writes them. */
import type { Kind, Status } from '../../kube/types.js';

export interface Cause {
  reason: string;
  message: string;
  field: string;
}

export class ApiError extends Error {
  readonly status: Status;
  constructor(status: Omit<Status, 'kind' | 'apiVersion' | 'metadata' | 'status'>) {
    super(status.message ?? status.reason);
    this.name = 'ApiError';
    this.status = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', ...status };
  }
}

type Names = Pick<Kind, 'group' | 'plural'>;
const resourceOf = (of: Names) => (of.group === '' ? of.plural : `${of.plural}.${of.group}`);
const details = (of: Names, name: string) => ({
  ...(name === '' ? {} : { name }),
  ...(of.group === '' ? {} : { group: of.group }),
  kind: of.plural,
});

export const notFound = (of: Names, name: string): ApiError =>
  new ApiError({
    code: 404,
    reason: 'NotFound',
    message: `${resourceOf(of)} "${name}" not found`,
    details: details(of, name),
  });

export const alreadyExists = (of: Names, name: string): ApiError =>
  new ApiError({
    code: 409,
    reason: 'AlreadyExists',
    message: `${resourceOf(of)} "${name}" already exists`,
    details: details(of, name),
  });

export const MODIFIED = 'the object has been modified; please apply your changes to the latest version and try again';

export const conflict = (of: Names, name: string, why: string = MODIFIED): ApiError =>
  new ApiError({
    code: 409,
    reason: 'Conflict',
    message: `Operation cannot be fulfilled on ${resourceOf(of)} "${name}": ${why}`,
    details: details(of, name),
  });

/** 409 of server-side apply: one cause for every field that another manager owns. */
export function applyConflict(causes: { manager: string; message: string; field: string }[]): ApiError {
  const noun = causes.length === 1 ? '1 conflict' : `${causes.length} conflicts`;
  const managers = [...new Set(causes.map((cause) => cause.message))];
  const said = managers.map((message) => {
    const fields = causes.filter((cause) => cause.message === message).map((cause) => cause.field);
    const from = message.replace(/^conflict with/, ' with');
    return fields.length === 1 ? `${from}: ${fields[0] ?? ''}` : `${from}:\n${fields.map((f) => `- ${f}`).join('\n')}`;
  });
  return new ApiError({
    code: 409,
    reason: 'Conflict',
    message: `Apply failed with ${noun}: ${noun === '1 conflict' ? 'conflict' : 'conflicts'}${said.join('\n')}`,
    details: { causes: causes.map(({ message, field }) => ({ reason: 'FieldManagerConflict', message, field })) },
  });
}

/** 422 with the real one's text: one cause stands alone, several stand in brackets. */
export function invalid(of: Pick<Kind, 'group' | 'kind'>, name: string, causes: Cause[]): ApiError {
  const kind = of.group === '' ? of.kind : `${of.kind}.${of.group}`;
  const lines = [...new Set(causes.map((cause) => `${cause.field}: ${cause.message}`))];
  const what = lines.length === 1 ? lines[0] : `[${lines.join(', ')}]`;
  return new ApiError({
    code: 422,
    reason: 'Invalid',
    message: `${kind} "${name}" is invalid: ${what ?? ''}`,
    details: { name, ...(of.group === '' ? {} : { group: of.group }), kind: of.kind, causes },
  });
}

export const badRequest = (message: string): ApiError => new ApiError({ code: 400, reason: 'BadRequest', message });
export const unauthorized = (): ApiError =>
  new ApiError({ code: 401, reason: 'Unauthorized', message: 'Unauthorized' });
export const forbidden = (of: Names, name: string, why: string, causes?: Cause[]): ApiError =>
  new ApiError({
    code: 403,
    reason: 'Forbidden',
    message: `${resourceOf(of)} "${name}" is forbidden: ${why}`,
    details: { ...details(of, name), ...(causes === undefined ? {} : { causes }) },
  });
export const methodNotAllowed = (): ApiError =>
  new ApiError({
    code: 405,
    reason: 'MethodNotAllowed',
    message: 'the server does not allow this method on the requested resource',
    details: {},
  });
export const notAcceptable = (types: string[]): ApiError =>
  new ApiError({
    code: 406,
    reason: 'NotAcceptable',
    message: `406: Not Acceptable\n\nAvailable representations: ${types.join(', ')}`,
  });
export const unsupportedMediaType = (types: string[]): ApiError =>
  new ApiError({
    code: 415,
    reason: 'UnsupportedMediaType',
    message: `the body of the request was in an unknown format - accepted media types include: ${types.join(', ')}`,
  });
export const expired = (message: string): ApiError => new ApiError({ code: 410, reason: 'Expired', message });
export const tooLarge = (limit: number): ApiError =>
  new ApiError({ code: 413, reason: 'RequestEntityTooLarge', message: `limit is ${limit}` });
export const internalError = (why: string): ApiError =>
  new ApiError({
    code: 500,
    reason: 'InternalError',
    message: `Internal error occurred: ${why}`,
    details: { causes: [{ message: why }] },
  });
/** 404 of a resource that a served group and version does not have. */
export const noSuchResource = (): ApiError =>
  new ApiError({
    code: 404,
    reason: 'NotFound',
    message: 'the server could not find the requested resource',
    details: {},
  });
/** 415 of a patch in no known form. */
export const noSuchPatch = (): ApiError =>
  new ApiError({ code: 415, reason: 'UnsupportedMediaType', message: '415: Unsupported Media Type', details: {} });

/** An unknown path: a real server answers plain text, not a Status. */
export class NoSuchPath extends Error {}
