/** Addresses of git providers and registries that users and installations name by host. Pure. */

const LOOPBACK = /^(localhost|127(\.[0-9]{1,3}){3}|0\.0\.0\.0)(:[0-9]+)?$/i;

/** This machine itself: for whoever is its only user. */
export const isLoopback = (host: string): boolean => LOOPBACK.test(host);

/** HTTPS everywhere but on this machine, where development servers have no certificate. */
export function originOf(host: string): string {
  return `${isLoopback(host) ? 'http' : 'https'}://${host}`;
}

/** The name to search for in what somebody pasted: `https://github.com/owner/name.git`, `owner/name`, `name`. */
export const nameIn = (query: string): string =>
  query
    .replace(/(\.git)?\/*$/, '')
    .split('/')
    .at(-1) ?? query;
