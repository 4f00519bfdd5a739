/**
 * Which servers a user may have this server call by naming them as a git provider's host. Addresses inside the network
 * (private, loopback, link-local, cloud metadata) are refused unless the installation allows them: the answer of a service
 * that only this server reaches must not be had by giving its name. Judged when a connection is made, by the address that is
 * dialled, so that a name which resolves to another address the second time changes nothing.
 */
import { lookup as resolve, type LookupAddress } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { Agent, buildConnector, type Dispatcher } from 'undici';
import { isRange } from '../../process/config.js';

/** `any`, or the inner servers that may be called: names, `*.example.com`, addresses, ranges. Public ones always may. */
export type GitHosts = 'any' | readonly string[];

export class UnreachableHost extends Error {
  override readonly name = 'UnreachableHost';
}

/** RFC 6890 and its registries: what is not globally reachable, and what embeds such addresses (NAT64, 6to4, Teredo). */
const INNER = rangesOf([
  ...['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.0.0.0/24'],
  ...['192.0.2.0/24', '192.168.0.0/16', '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24', '224.0.0.0/3'],
  ...['::/127', '64:ff9b::/96', '64:ff9b:1::/48', '100::/64', '2001::/23', '2001:db8::/32', '2002::/16'],
  ...['fc00::/7', 'fe80::/10', 'fec0::/10', 'ff00::/8'],
]);

function rangesOf(entries: readonly string[]): BlockList {
  const ranges = new BlockList();
  for (const entry of entries) {
    const [address = '', bits] = entry.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    ranges.addSubnet(address, bits === undefined ? (family === 'ipv6' ? 128 : 32) : Number(bits), family);
  }
  return ranges;
}

export interface Reach {
  /** Whether this address of that name may be dialled; the name of an address is itself. */
  allows(hostname: string, address: string): boolean;
}

const NAME = /^(\*\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/i;

/** Whether it can be an entry of a list of hosts. */
export const isGitHost = (entry: string): boolean => (isName(entry) ? NAME.test(entry) : isRange(entry));

const isName = (entry: string): boolean => isIP(entry.split('/')[0] ?? '') === 0;

export function createReach(hosts: GitHosts): Reach {
  if (hosts === 'any') return { allows: () => true };
  const names = hosts.filter(isName).map((name) => name.toLowerCase());
  const ranges = rangesOf(hosts.filter((entry) => !isName(entry)));
  const named = (hostname: string) =>
    names.some((name) => (name.startsWith('*.') ? hostname.endsWith(name.slice(1)) : hostname === name));
  return {
    allows(hostname, address) {
      const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
      return !INNER.check(address, family) || ranges.check(address, family) || named(hostname.toLowerCase());
    },
  };
}

const CONNECT_MS = 5_000;
const KEEP_ALIVE_MS = 10_000;

/** Requests through it fail with UnreachableHost where the installation does not allow the address. */
export function createGitDispatcher(hosts: GitHosts): Dispatcher {
  const reach = createReach(hosts);
  const lookup: LookupFunction = (hostname, options, callback) => {
    resolve(hostname, { ...options, all: true }, (error, found: LookupAddress[]) => {
      if (error !== null) return callback(error, '');
      const [first, ...others] = found.filter(({ address }) => reach.allows(hostname, address));
      if (first === undefined) return callback(new UnreachableHost(hostname), '');
      if (options.all === true) callback(null, [first, ...others]);
      else callback(null, first.address, first.family);
    });
  };
  const connect = buildConnector({ timeout: CONNECT_MS, lookup });
  return new Agent({
    connections: 8,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connect(options, callback) {
      const address = options.hostname.replace(/^\[|\]$/g, '');
      // What is an address already is never looked up.
      if (isIP(address) !== 0 && !reach.allows(address, address)) return callback(new UnreachableHost(address), null);
      connect(options, callback);
    },
  });
}
