/** Which sandbox and port a request means, by its address alone, and how that was found. Pure. */
import { conversationHex, SLOT_PATTERN } from '../contracts/names.js';
import { parseHost, parsePortRef, type PortRef } from '../contracts/urls.js';
import { ownCopy } from './http/message.js';
import { fieldOf, KEY_PARAMETER, queryOf, type RequestHead } from './http/request.js';
import type { Lookup } from './table.js';

/** How a request's sandbox was found; a label in log and metrics. */
export type Source = 'host' | 'path' | 'port-path' | 'proxy-path' | 'conversation' | 'key' | 'frame' | 'none';

export interface Located {
  slot: string;
  port: PortRef;
  /** Path and query for the pod. */
  target: string;
  /** What was cut from the path's beginning; '' in host form. */
  prefix: string;
  source: Source;
}

/** A handshake on the single host that says only in its first frame which sandbox it means. */
export const IN_FIRST_FRAME = '';

export function locate(head: RequestHead, lookup: Lookup, domain: string): Located | undefined {
  const byHost = readHost(head.host, domain);
  if (typeof byHost === 'object') {
    const { slot, port } = byHost;
    return { slot, port, target: head.target, prefix: '', source: 'host' };
  }
  // A name below the domain that is no slot's is unknown, not a single-host request.
  if (byHost === 'unknown') return undefined;
  return locateByPath(head) ?? locateByKey(head, lookup) ?? locateByConversation(head, lookup) ?? awaitingFrame(head);
}

type ReadHost = { slot: string; port: PortRef } | 'unknown' | undefined;
/** By domain (a program has one) and host. Hosts come again and again; the bound keeps made-up ones from filling memory. */
const hosts = new Map<string, Map<string, ReadHost>>();
const MAX_HOSTS = 10_000;

function readHost(host: string, domain: string): ReadHost {
  let known = hosts.get(domain);
  if (known === undefined) hosts.set(domain, (known = new Map()));
  const before = known.get(host);
  if (before !== undefined || known.has(host)) return before;
  const isBelow = host.replace(/:[0-9]+$/, '').endsWith(`.${domain.replace(/:[0-9]+$/, '').toLowerCase()}`);
  // A copy: what is remembered must not be a slice of a head.
  const own = ownCopy(host);
  const read = parseHost(own, domain) ?? (isBelow ? 'unknown' : undefined);
  if (known.size >= MAX_HOSTS) known.clear();
  known.set(own, read);
  return read;
}

function locateByPath(head: RequestHead): Located | undefined {
  const [, first = '', second = '', third = '', fourth = ''] = head.path.split('/', 5);
  if (SLOT_PATTERN.test(first)) return pathForm(head, first, second);
  if (first === 'agent-server-proxy' && SLOT_PATTERN.test(second))
    return cut(head, { slot: second, port: 'agent', prefix: `/${first}/${second}`, source: 'proxy-path' });
  if (first !== 'api') return undefined;
  if (second === 'proxy' && SLOT_PATTERN.test(third))
    return cut(head, { slot: third, port: 'agent', prefix: `/api/proxy/${third}`, source: 'proxy-path' });
  if (second !== 'sandbox-port') return undefined;
  if (!SLOT_PATTERN.test(third)) return portWithoutSlot(head, third);
  const port = parsePortRef(fourth);
  if (port === undefined || fourth === '') return undefined;
  return cut(head, { slot: third, port, prefix: `/api/sandbox-port/${third}/${fourth}`, source: 'port-path' });
}

/** The older form `/api/sandbox-port/<port>/…`: the page that asks tells the sandbox, or the only pass that the browser holds. */
function portWithoutSlot(head: RequestHead, text: string): Located | undefined {
  const port = text === '' ? undefined : parsePortRef(text);
  const slot = port === undefined ? undefined : (slotOfReferer(head) ?? onlySlotOf(head.cookie));
  if (port === undefined || slot === undefined) return undefined;
  return cut(head, { slot, port, prefix: `/api/sandbox-port/${text}`, source: 'port-path' });
}

/** Of a page of this very host in a form that names it. */
function slotOfReferer(head: RequestHead): string | undefined {
  const match = /^https?:\/\/([^/?#]+)\/(?:api\/sandbox-port\/)?(s[a-z2-7]{13})(?=[/?#]|$)/i.exec(
    fieldOf(head, 'referer') ?? '',
  );
  return match?.[1]?.toLowerCase() === head.host ? match[2] : undefined;
}

const PAGE_OF_A_PORT =
  /^https?:\/\/([^/?#]+)(\/(?:s[a-z2-7]{13}|api\/sandbox-port(?:\/s[a-z2-7]{13})?)\/(?:vscode|work-[12]|[1-9][0-9]{0,4}))(?=[/?#]|$)/i;

/**
 * Where a request belongs that names no sandbox, because a script of a page in path form put its address together: below the
 * prefix of the page that asks. Only an address: whoever is sent there still needs his right.
 */
export function strayPrefix(head: RequestHead, domain: string): string | undefined {
  if (typeof readHost(head.host, domain) !== 'undefined') return undefined;
  const match = PAGE_OF_A_PORT.exec(fieldOf(head, 'referer') ?? '');
  return match?.[1]?.toLowerCase() === head.host ? match[2] : undefined;
}

function onlySlotOf(cookie: string | undefined): string | undefined {
  const slots = new Set(
    Array.from((cookie ?? '').matchAll(/sandlot-pass-(s[a-z2-7]{13})(?=[-=])/g), (match) => match[1]),
  );
  return slots.size === 1 ? [...slots][0] : undefined;
}

function pathForm(head: RequestHead, slot: string, second: string): Located {
  // The OpenHands frontend's cost dialog doubles the prefix of a path-routed conversation.
  if (second === slot) return cut(head, { slot, port: 'agent', prefix: `/${slot}/${slot}`, source: 'path' });
  const port = second === '' ? undefined : parsePortRef(second);
  return port === undefined
    ? cut(head, { slot, port: 'agent', prefix: `/${slot}`, source: 'path' })
    : cut(head, { slot, port, prefix: `/${slot}/${second}`, source: 'path' });
}

function cut(head: RequestHead, { slot, port, prefix, source }: Omit<Located, 'target'>): Located {
  const rest = head.target.slice(prefix.length);
  return { slot, port, target: rest.startsWith('/') ? rest : `/${rest}`, prefix, source };
}

/** What the agent server serves, and nothing else of the single host. */
const AGENT_PATH = /^\/(?:api|sockets)\//;

function locateByKey(head: RequestHead, lookup: Lookup): Located | undefined {
  const proxied = agentServerProxy(head);
  const key = head.sessionKey ?? queryOf(head.query, KEY_PARAMETER);
  const slot = key === undefined ? undefined : lookup.byKey(key)?.slot;
  if (slot === undefined) return undefined;
  if (proxied !== undefined) return { ...proxied, slot };
  if (!AGENT_PATH.test(head.path)) return undefined;
  return { slot, port: 'agent', target: head.target, prefix: '', source: 'key' };
}

/** `/agent-server-proxy/<conversation>/…`, `/api/proxy/<conversation>/…`, or without the id where a key tells the sandbox. */
function agentServerProxy(head: RequestHead): Omit<Located, 'slot'> | undefined {
  const match =
    /^\/(?:agent-server-proxy|api\/proxy)(?=\/|$)(\/(?:[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?=\/|$))?/i.exec(
      head.path,
    );
  if (match === null) return undefined;
  return cut(head, { slot: '', port: 'agent', prefix: match[0], source: 'proxy-path' });
}

const CONVERSATION =
  /^\/(?:sockets\/events|api\/conversations|api\/proxy|agent-server-proxy)\/([0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:\/|$)/i;

function locateByConversation(head: RequestHead, lookup: Lookup): Located | undefined {
  const id = CONVERSATION.exec(head.path)?.[1];
  const slot = id === undefined ? undefined : lookup.byConversation(conversationHex(id))?.slot;
  if (slot === undefined) return undefined;
  const proxied = agentServerProxy(head);
  return proxied === undefined
    ? { slot, port: 'agent', target: head.target, prefix: '', source: 'conversation' }
    : { ...proxied, slot };
}

function awaitingFrame(head: RequestHead): Located | undefined {
  if (!head.websocket || !head.path.startsWith('/sockets/') || hasKey(head)) return undefined;
  return { slot: IN_FIRST_FRAME, port: 'agent', target: head.target, prefix: '', source: 'frame' };
}

const hasKey = (head: RequestHead) => head.sessionKey !== undefined || queryOf(head.query, KEY_PARAMETER) !== undefined;
