/** Who may open the editor, and where a request is sent on to. Pure. */
import type { IncomingHttpHeaders } from 'node:http';
import { targetUrl } from '../../process/target.js';
import { headerOf, keyIsGood } from '../http/auth.js';
import type { PathMap } from '../conversations/workspace.js';

const COOKIE = 'vscode-tkn';
const TOKEN = 'tkn';
const WEEK_S = 604_800;

export interface Asking {
  method: string;
  headers: IncomingHttpHeaders;
  /** Path with query. */
  target: string;
}

export type Decision =
  | { kind: 'refuse'; status: 400 | 401 | 403; message: string }
  | { kind: 'redirect'; location: string; cookie?: string }
  /** `target` without the server's base path. */
  | { kind: 'pass'; target: string };

export interface Rules {
  keys: readonly string[];
  basePath: string | null;
  paths: PathMap;
}

/**
 * A key comes by header (the gateway writes it for a browser that it let in), in the query as `tkn`, or in the cookie
 * that the query is exchanged for. Folders are named as clients know them (`/workspace/…`).
 */
export function decide(asking: Asking, { keys, basePath, paths }: Rules): Decision {
  const { headers } = asking;
  const url = targetUrl(asking.target);
  if (url === undefined) return { kind: 'refuse', status: 400, message: 'That is no address.' };
  const token = url.searchParams.get(TOKEN) ?? undefined;
  const byHeader = headerOf(headers, 'x-session-api-key');
  const byCookie = cookieOf(headers.cookie);
  const good = [byHeader, token, byCookie].some((given) => given !== undefined && keyIsGood(keys, given));
  if (!good && keys.length > 0) return { kind: 'refuse', status: 401, message: 'Open VS Code from its conversation.' };
  if (isForeign(asking)) return { kind: 'refuse', status: 403, message: 'This page may not use VS Code.' };
  const wanted = mapFolder(url, paths);
  url.searchParams.delete(TOKEN);
  const location = `${url.pathname}${url.search}`;
  if (token !== undefined && headerOf(headers, 'upgrade') === undefined)
    return { kind: 'redirect', location, ...(keyIsGood(keys, token) ? { cookie: cookieFor(token, headers) } : {}) };
  if (wanted) return { kind: 'redirect', location };
  return { kind: 'pass', target: below(basePath, asking.target) };
}

/** True when the query named a folder that is called differently on this machine; it is changed in `url`. */
function mapFolder(url: URL, paths: PathMap): boolean {
  const folder = url.searchParams.get('folder');
  if (folder === null) return false;
  const local = paths.toLocal(folder);
  if (local === folder) return false;
  url.searchParams.set('folder', local);
  return true;
}

function below(basePath: string | null, target: string): string {
  const base = (basePath ?? '').replace(/\/+$/, '');
  if (base === '' || !(target === base || target.startsWith(`${base}/`) || target.startsWith(`${base}?`)))
    return target;
  const rest = target.slice(base.length);
  return rest.startsWith('/') ? rest : `/${rest}`;
}

function cookieOf(cookie: string | undefined): string | undefined {
  const pair = (cookie ?? '')
    .split(';')
    .map((part) => part.trim())
    .find((part) => part.startsWith(`${COOKIE}=`));
  return pair?.slice(COOKIE.length + 1);
}

/** Embedded by the UI of another site where the browser takes such a cookie; plain http elsewhere only in its own tab. */
function cookieFor(token: string, headers: IncomingHttpHeaders): string {
  const host = hostOf(headers);
  const secure = headerOf(headers, 'x-forwarded-proto') === 'https' || /(?:^|\.)localhost(?::\d+)?$/.test(host);
  const rights = secure ? 'SameSite=None; Secure; Partitioned' : 'SameSite=Lax';
  return `${COOKIE}=${token}; Max-Age=${WEEK_S}; Path=/; HttpOnly; ${rights}`;
}

const hostOf = (headers: IncomingHttpHeaders): string => headerOf(headers, 'x-forwarded-host') ?? headers.host ?? '';

/** A script of another page that wants more than to look: browsers name its origin then. */
function isForeign({ method, headers }: Asking): boolean {
  const { origin, upgrade } = headers;
  const isLook = (method === 'GET' || method === 'HEAD') && upgrade === undefined;
  if (isLook || origin === undefined) return false;
  return !URL.canParse(origin) || new URL(origin).host !== hostOf(headers);
}

/** The headers for the editor: without what opens this sandbox. */
export function headersFor(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const { 'x-session-api-key': _key, cookie, ...rest } = headers;
  const kept = (cookie ?? '')
    .split(';')
    .map((part) => part.trim())
    .filter((part) => part !== '' && !part.startsWith(`${COOKIE}=`))
    .join('; ');
  return kept === '' ? rest : { ...rest, cookie: kept };
}
