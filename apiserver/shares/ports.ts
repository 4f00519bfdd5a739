/** Ports of a share: as clients name them, as they are stored, and as they stand in the Sandbox. Pure. */
import type { Sandbox, SandboxSpec } from '../../contracts/resources.js';
import type { PortRef } from '../../contracts/urls.js';
import type { Share } from '../db/generated/client.js';
import { portOf } from '../sandboxes/status.js';

/** Numbers of these may be others after a resume; their names stay. */
const NAMED = ['worker-1', 'worker-2'] as const;
export type SharedPort = (typeof NAMED)[number] | number;
export const SHARED_NAMES: readonly string[] = NAMED;

/** How a port is stored; undefined for the agent's and the editor's: whoever has them has the sandbox itself. */
export function storedPort(port: SharedPort, sandbox: Sandbox | undefined): string | undefined {
  if (typeof port === 'string' || sandbox === undefined) return String(port);
  if (port === portOf(sandbox, 'agent') || port === portOf(sandbox, 'vscode')) return undefined;
  return NAMED.find((name) => portOf(sandbox, name) === port) ?? String(port);
}

export const portRef = (stored: string): SharedPort =>
  /^[0-9]+$/.test(stored) ? Number(stored) : (stored as SharedPort);

/** What of the shares the gateway must know: those that open ports and are not over, oldest first. */
export function sharesOfSpec(rows: Share[], now: Date): NonNullable<SandboxSpec['shares']> {
  return rows
    .filter(({ ports, expiresAt }) => ports.length > 0 && expiresAt > now)
    .sort((a, b) => (a.id < b.id ? -1 : 1))
    .map(({ id, ports, expiresAt }) => ({ id, ports: ports.map(portRef), expiresAt: expiresAt.toISOString() }));
}

export const sameShares = (a: SandboxSpec['shares'], b: SandboxSpec['shares']): boolean =>
  textOf(a ?? []) === textOf(b ?? []);

const textOf = (shares: NonNullable<SandboxSpec['shares']>): string =>
  JSON.stringify(
    shares
      .map(({ id, ports, expiresAt }) => [id, ports ?? null, Date.parse(expiresAt)] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );

/** Whether a share opens a port that is asked for by name or number. */
export const opens = ({ ports }: Pick<Share, 'ports'>, port: PortRef): boolean => ports.includes(String(port));
