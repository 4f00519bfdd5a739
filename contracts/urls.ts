/**
 * Addresses of a sandbox at the gateway. Host form: `<slot>.<domain>`, `vscode-<slot>.<domain>`, `work-1-<slot>.<domain>`,
 * `<port>-<slot>.<domain>`, or with `-` before the domain's first label (sibling form, one wildcard certificate of a
 * higher level). Path form: `<domain>/<slot>[/<service>]`. Runtime API clients derive exactly these (contracts of OpenHands).
 */
import { SLOT_PATTERN } from './names.js';
import type { PortName } from './ports.js';
import { PASS_PARAMETER, PASS_PATH } from './tokens.js';

export type UrlForm = 'host' | 'sibling' | 'path';

export interface GatewayAddress {
  form: UrlForm;
  /** `http` or `https`. */
  protocol: string;
  /** Host, and port where it is not the protocol's default: `sandbox.localhost:3001`. */
  domain: string;
}

/** What a request asks of a sandbox: a named port, or any other by number. */
export type PortRef = PortName | number;

const PREFIX: Record<PortName, string> = { agent: '', vscode: 'vscode', 'worker-1': 'work-1', 'worker-2': 'work-2' };
const BY_PREFIX = new Map(Object.entries(PREFIX).map(([name, prefix]) => [prefix, name as PortName]));

/** URL without trailing slash under which the gateway serves one port of a sandbox. */
export function sandboxUrl(address: GatewayAddress, slot: string, port: PortRef = 'agent'): string {
  const prefix = typeof port === 'number' ? String(port) : PREFIX[port];
  const label = prefix === '' ? slot : `${prefix}-${slot}`;
  switch (address.form) {
    case 'host':
      return `${address.protocol}://${label}.${address.domain}`;
    case 'sibling':
      return `${address.protocol}://${label}-${address.domain}`;
    case 'path':
      return `${address.protocol}://${address.domain}/${slot}${prefix === '' ? '' : `/${prefix}`}`;
  }
}

/** URL that lets a browser in with an entry pass (tokens.ts) and goes on to the local path `to`; without it to '/'. */
export function entryUrl(
  address: GatewayAddress,
  entry: { slot: string; port?: PortRef; pass: string; to?: string },
): string {
  const query = new URLSearchParams({
    [PASS_PARAMETER]: entry.pass,
    ...(entry.to === undefined ? {} : { to: entry.to }),
  });
  return `${sandboxUrl(address, entry.slot, entry.port)}${PASS_PATH}?${query.toString()}`;
}

/** Reads `vscode`, `work-1`, `3000` or '' as a port reference; undefined when it is none. */
export function parsePortRef(text: string): PortRef | undefined {
  const named = BY_PREFIX.get(text);
  if (named !== undefined) return named;
  if (!/^[1-9][0-9]{0,4}$/.test(text)) return undefined;
  const number = Number(text);
  return number <= 65535 ? number : undefined;
}

/** Slot and port of a Host header in host or sibling form; undefined when it is not below `domain`. Ports in both are ignored. */
export function parseHost(host: string, domain: string): { slot: string; port: PortRef } | undefined {
  const name = withoutPort(host.toLowerCase());
  const base = withoutPort(domain.toLowerCase());
  if (!name.endsWith(base) || name.length <= base.length + 1) return undefined;
  const separator = name[name.length - base.length - 1];
  if (separator !== '.' && separator !== '-') return undefined;
  return parseLabel(name.slice(0, name.length - base.length - 1));
}

/** `vscode-<slot>` and its like. */
export function parseLabel(label: string): { slot: string; port: PortRef } | undefined {
  const dash = label.lastIndexOf('-');
  const slot = label.slice(dash + 1);
  const port = parsePortRef(dash === -1 ? '' : label.slice(0, dash));
  return SLOT_PATTERN.test(slot) && port !== undefined && (dash === -1) === (port === 'agent')
    ? { slot, port }
    : undefined;
}

function withoutPort(host: string): string {
  return host.replace(/:[0-9]+$/, '');
}
