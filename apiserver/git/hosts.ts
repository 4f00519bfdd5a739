/** Addresses of git providers and registries that users and installations name by host. Pure. */

/** HTTPS everywhere but on this machine, where development servers have no certificate. */
export function originOf(host: string): string {
  return `${/^(localhost|127\.0\.0\.1)(:[0-9]+)?$/.test(host) ? 'http' : 'https'}://${host}`;
}
