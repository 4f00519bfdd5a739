/** The heads that go on: to the pod, and back to the client. Pure; one pass over the fields. */
import { bearerOf } from './authorize.js';
import { cookieFromPod, cookiesForPod } from './cookies.js';
import { framingLine, isFraming } from './framing.js';
import { isHopByHop, ownCopy, type Field } from './http/message.js';
import { isNavigation, type RequestHead } from './http/request.js';
import type { ResponseHead } from './http/response.js';
import { corsLines } from './origins.js';
import { apply, editLinks, editRefresh, editUrl, type Edit, type Site } from './pages/urls.js';

export interface Outgoing {
  /** Path and query for the pod. */
  target: string;
  prefix: string;
  /** Set for browsers that came in by cookie: the agent server and VS Code get the key from the gateway. */
  injectKey: string | undefined;
  /** Current key of the sandbox. */
  key: string;
  /** The agent server or VS Code, which clients of the platform call with the platform's credentials at hand. */
  isPlatformPort: boolean;
  clientIp: string;
  protocol: string;
  /** X-Forwarded-For of a trusted proxy in front; undefined to start afresh. */
  forwardedFor: string | undefined;
}

/** Written by the gateway only. With underscores they would be the same to servers that turn both into one (CGI, WSGI). */
const OWN = /^(?:x-forwarded-.*|forwarded|x-real-ip|x-sandlot-.*|x-init-api-key)$/;
const SPOOFABLE = /^(?:x-session-api-key|x-api-key|cookie|host|authorization|content-length|transfer-encoding)$/;

const isReserved = remembered(
  (name) => OWN.test(name) || (name.includes('_') && isReservedSpelling(name.replaceAll('_', '-'))),
);
const isReservedSpelling = (name: string) => OWN.test(name) || SPOOFABLE.test(name);

/** Heads repeat a few dozen names; the bound keeps made-up ones from filling memory. */
function remembered(judge: (name: string) => boolean): (name: string) => boolean {
  const verdicts = new Map<string, boolean>();
  return (name) => {
    const known = verdicts.get(name);
    if (known !== undefined) return known;
    const verdict = judge(name);
    if (verdicts.size < MAX_REMEMBERED) verdicts.set(ownCopy(name), verdict);
    return verdict;
  };
}
const MAX_REMEMBERED = 4096;

export function headForPod(head: RequestHead, out: Outgoing): string {
  let text = `${head.method} ${out.target} HTTP/1.${head.minor}\r\n`;
  for (const field of head.fields) text += lineForPod(field, head, out);
  if (head.chunked) text += 'Transfer-Encoding: chunked\r\n';
  if (head.websocket) text += 'Connection: Upgrade\r\nUpgrade: websocket\r\n';
  text += `Traceparent: ${head.trace}\r\n`;
  if (out.injectKey !== undefined) text += `X-Session-API-Key: ${out.injectKey}\r\n`;
  if (out.prefix !== '') text += `X-Forwarded-Prefix: ${out.prefix}\r\n`;
  if (isRewritten(head, out)) text += 'Accept-Encoding: identity\r\n';
  const chain = out.forwardedFor === undefined ? out.clientIp : `${out.forwardedFor}, ${out.clientIp}`;
  return `${text}X-Forwarded-For: ${chain}\r\nX-Forwarded-Host: ${head.host}\r\nX-Forwarded-Proto: ${out.protocol}\r\n\r\n`;
}

/** Pages and style sheets below a prefix are rewritten, which takes plain text. */
const isRewritten = (head: RequestHead, out: Outgoing) =>
  out.prefix !== '' && (isNavigation(head) || /text\/(?:html|css)\b/.test(head.accept ?? ''));

function lineForPod(field: Field, head: RequestHead, out: Outgoing): string {
  const { name } = field;
  if (isHopByHop(name, head.nominated) || isReserved(name)) return '';
  switch (name) {
    case 'cookie': {
      const kept = cookiesForPod(field.value);
      return kept === undefined ? '' : `Cookie: ${kept}\r\n`;
    }
    case 'accept-encoding':
      return isRewritten(head, out) ? '' : `${field.line}\r\n`;
    // Written by headForPod; and what belongs to no trace, or to a malformed one, is nobody's.
    case 'traceparent':
      return '';
    case 'tracestate':
      return head.isTraced ? `${field.line}\r\n` : '';
    case 'authorization':
      return mayHaveAuthorization(head, out) ? `${field.line}\r\n` : '';
    case 'x-api-key':
    case 'x-access-token':
      return out.isPlatformPort || PLATFORM_KEY.test(field.value) ? '' : `${field.line}\r\n`;
    case 'x-session-api-key':
      return isOwnKey(field.value, out) ? '' : `${field.line}\r\n`;
    default:
      return `${field.line}\r\n`;
  }
}

/** How the platform's own API keys begin. */
const PLATFORM_KEY = /^sk-(?:oh|sandlot)-/;

/** An app's own Authorization goes through; the platform's never reaches a pod. */
function mayHaveAuthorization(head: RequestHead, out: Outgoing): boolean {
  const bearer = bearerOf(head);
  if (bearer === out.key) return out.isPlatformPort;
  return !out.isPlatformPort && (bearer === undefined || !PLATFORM_KEY.test(bearer));
}

/** The key opens the whole sandbox: an app on a port of its own gets only keys that mean something to itself. */
const isOwnKey = (value: string, out: Outgoing) =>
  out.injectKey !== undefined || (!out.isPlatformPort && value === out.key);

export interface Incoming {
  /** Path prefix to put back; '' in host form. */
  prefix: string;
  /** Origin of the request when it may read the answer. */
  trustedOrigin: string | undefined;
  /** Origins that may embed: the UI's. */
  embedders: string;
  /** Nobody else may embed what a browser's own cookie let in. */
  guarded: boolean;
  /** `https://host` of the request, for redirects that name it. */
  base: string;
  /** Set-Cookie of the gateway itself. */
  cookie: string | undefined;
  keepAlive: boolean;
  minor: 0 | 1;
}

/**
 * Pods must not touch what browsers keep per site, origin or connection rather than per page: where to connect, how to
 * connect, what to report and to whom (URLs of neighbours among it), sessions, dictionaries. Framing is the gateway's affair.
 */
const NOT_FROM_PODS = new Set([
  'accept-ch',
  'alt-svc',
  'clear-site-data',
  'critical-ch',
  'expect-ct',
  'nel',
  'public-key-pins',
  'report-to',
  'secure-session-registration',
  'sec-session-registration',
  'set-cookie2',
  'set-login',
  'strict-transport-security',
  'use-as-dictionary',
  'x-frame-options',
]);
/** Orders to an nginx or Apache in front of the gateway (X-Accel-Redirect opens its internal places), and the gateway's own. */
const FOR_PROXIES = /^(?:x-sandlot-.*|x-accel-.*|x-sendfile|x-lighttpd-send-file)$/;
const isWithheld = remembered((name) => NOT_FROM_PODS.has(name) || FOR_PROXIES.test(name));
const SHARED_ORIGIN_ONLY = new Set(['service-worker-allowed', 'origin-agent-cluster']);
const CORS = new Set(['access-control-allow-origin', 'access-control-allow-credentials']);

export function headForClient(head: ResponseHead, into: Incoming): string {
  let text = `HTTP/1.1 ${head.status} ${head.reason}\r\n`;
  let embedding = false;
  let isStream = false;
  for (const field of head.fields) {
    text += lineForClient(field, head, into);
    isStream ||= field.name === 'content-type' && /^text\/event-stream\b/i.test(field.value);
    embedding ||= field.name === 'x-frame-options' || field.name === 'content-security-policy';
  }
  // A proxy in front that buffers would hold events back for ever.
  if (isStream) text += 'X-Accel-Buffering: no\r\n';
  if (embedding || into.guarded) text += `Content-Security-Policy: frame-ancestors 'self'${into.embedders}\r\n`;
  if (into.trustedOrigin !== undefined) text += corsLines(into.trustedOrigin);
  if (into.cookie !== undefined) text += `Set-Cookie: ${into.cookie}\r\n`;
  return `${text}${framingLine(head)}${connectionLine(into)}\r\n`;
}

function connectionLine(into: Incoming): string {
  if (!into.keepAlive) return 'Connection: close\r\n';
  return into.minor === 0 ? 'Connection: keep-alive\r\n' : '';
}

function lineForClient(field: Field, head: ResponseHead, into: Incoming): string {
  const { name } = field;
  if (isHopByHop(name, head.nominated) || isWithheld(name)) return '';
  if (isFraming(name)) return '';
  if (into.trustedOrigin !== undefined && CORS.has(name)) return '';
  switch (name) {
    case 'set-cookie': {
      const cookie = cookieFromPod(field.value, into.prefix);
      return cookie === undefined ? '' : `Set-Cookie: ${cookie}\r\n`;
    }
    case 'content-security-policy': {
      const kept = withoutFrameAncestors(field.value);
      return kept === '' ? '' : `Content-Security-Policy: ${kept}\r\n`;
    }
    case 'location':
    case 'content-location':
      return edited(field, editUrl, into);
    case 'refresh':
      return edited(field, editRefresh, into);
    case 'link':
      return edited(field, editLinks, into);
    default:
      return into.prefix !== '' && SHARED_ORIGIN_ONLY.has(name) ? '' : `${field.line}\r\n`;
  }
}

/** A policy without the one directive that the gateway decides; policies of one field are separated by commas. */
export function withoutFrameAncestors(value: string): string {
  return value
    .split(',')
    .map((policy) =>
      policy
        .split(';')
        .filter((directive) => !/^\s*frame-ancestors(?:\s|$)/i.test(directive) && directive.trim() !== '')
        .join(';')
        .trim(),
    )
    .filter((policy) => policy !== '')
    .join(', ');
}

const edited = (field: Field, edit: (value: string, from: number, site: Site) => Edit[], into: Incoming) =>
  into.prefix === '' ? `${field.line}\r\n` : `${field.name}: ${apply(field.value, edit(field.value, 0, into))}\r\n`;
