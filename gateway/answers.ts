/** Answers that the gateway gives by itself: JSON for programs (`detail` as agent servers write it), a page for people. Pure. */
import { createHash } from 'node:crypto';
import { isForm, isNavigation, type RequestHead } from './http/request.js';

export type Reason =
  | 'BadRequest'
  | 'UnknownSandbox'
  | 'NoCredentials'
  | 'WrongKey'
  | 'ForeignOrigin'
  | 'AccessEnded'
  | 'SlowReader'
  | 'UnknownConversation'
  | 'BadPass'
  | 'SandboxPaused'
  | 'SandboxStarting'
  | 'SandboxFailed'
  | 'LimitReached'
  | 'NothingListening'
  | 'Unreachable'
  | 'BadAnswer'
  | 'TimedOut'
  | 'TooManyRequests'
  | 'Draining';

export interface Answer {
  status: number;
  reason: Reason;
  /** One sentence for people. */
  message: string;
  /** Seconds after which asking again makes sense. The page asks by itself. */
  retryAfter?: number;
}

/** The sentence of a waiting page is the only thing that varies; nothing of the request is repeated in it. */
export interface Rendering {
  head: RequestHead | undefined;
  keepAlive: boolean;
  /** CORS and other lines, each with CRLF. */
  lines: string;
  /** `'self'` is implied: who may embed the page. */
  embedders: string;
}

const PHRASES: Record<number, string> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  413: 'Content Too Large',
  414: 'URI Too Long',
  417: 'Expectation Failed',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  505: 'HTTP Version Not Supported',
};

export function renderAnswer(answer: Answer, into: Rendering): string {
  const form = into.head !== undefined && isForm(into.head);
  const page = form || (into.head !== undefined && isNavigation(into.head));
  const body = page ? pageOf(answer, form) : `${JSON.stringify({ detail: answer.message, reason: answer.reason })}\n`;
  const lines = [
    `HTTP/1.1 ${answer.status} ${PHRASES[answer.status] ?? 'Error'}`,
    `Content-Type: ${page ? 'text/html; charset=utf-8' : 'application/json'}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Cache-Control: no-store',
    `X-Sandlot-Reason: ${answer.reason}`,
    'X-Content-Type-Options: nosniff',
    ...(page ? [`Content-Security-Policy: ${POLICY} frame-ancestors 'self'${into.embedders}`] : []),
    ...(answer.retryAfter === undefined ? [] : [`Retry-After: ${answer.retryAfter}`]),
    ...(into.keepAlive ? [] : ['Connection: close']),
  ];
  return `${lines.join('\r\n')}\r\n${into.lines}\r\n${into.head?.method === 'HEAD' ? '' : body}`;
}

const EMPTY = { 204: 'No Content', 302: 'Found', 307: 'Temporary Redirect' } as const;

/** An answer without a body: redirects, preflights. `lines` end with CRLF each. */
export function renderEmpty(status: keyof typeof EMPTY, lines: string, keepAlive: boolean): string {
  const length = status === 204 ? '' : 'Content-Length: 0\r\n';
  return `HTTP/1.1 ${status} ${EMPTY[status]}\r\n${lines}${length}${keepAlive ? '' : 'Connection: close\r\n'}\r\n`;
}

const TITLES: Partial<Record<Reason, string>> = {
  SandboxPaused: 'This sandbox is paused',
  SandboxStarting: 'The sandbox is starting',
  SandboxFailed: 'The sandbox has failed',
  LimitReached: 'There is no room for this sandbox now',
  NothingListening: 'Waiting for the app',
  UnknownSandbox: 'There is no such sandbox',
  NoCredentials: 'Please open this from its conversation',
  ForeignOrigin: 'This page may not be used from there',
  BadPass: 'This link is no longer valid',
};

/** Asks for the same address until something else than this very waiting page answers, then goes there. Slows down from 1 to 5 seconds. */
const SCRIPT = `let wait=1000;const again=async()=>{try{const r=await fetch(location.href,{cache:'no-store',headers:{accept:'application/json'}});if(r.headers.get('x-sandlot-reason')!==document.documentElement.dataset.reason){location.reload();return}}catch{}wait=Math.min(wait*1.3,5000);setTimeout(again,wait)};setTimeout(again,wait)`;
const STYLE = `:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}body{display:grid;place-content:center;min-height:90vh;margin:0 2rem;text-align:center}h1{font-size:1.25rem;font-weight:600;margin:0}p{margin:.5rem 0 0;opacity:.75}`;
const hash = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
const POLICY = `default-src 'none'; connect-src 'self'; script-src ${hash(SCRIPT)}; style-src ${hash(STYLE)};`;

/** A form is sent again by whoever reloads the page, not by the page itself: whether that may be, a person must know. */
function pageOf(answer: Answer, isOfForm: boolean): string {
  const title = TITLES[answer.reason] ?? 'This did not work';
  const waiting = answer.retryAfter !== undefined && !isOfForm;
  const again = answer.retryAfter !== undefined && isOfForm ? ' Reload this page to send the form again.' : '';
  return `<!doctype html><html lang="en" data-reason="${answer.reason}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title>${waiting ? `<noscript><meta http-equiv="refresh" content="${answer.retryAfter}"></noscript>` : ''}<style>${STYLE}</style></head><body><main${waiting ? ' role="status"' : ''}><h1>${title}</h1><p>${escapeHtml(answer.message)}${again}</p></main>${waiting ? `<script>${SCRIPT}</script>` : ''}</body></html>\n`;
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}
