/**
 * Names that more than one sandbox may say are theirs: slots and conversations. Normally none is claimed twice; where one is,
 * by a mistake or by somebody who wants another's visitors, every gateway must come to the same answer, whatever it saw first.
 */

export interface Claimant {
  /** Of the Sandbox, unique. */
  id: string;
  owner: string;
  /** ms since 1970. */
  createdAt: number;
  /** The name follows from the Sandbox's uid, which nobody can choose. */
  isByUid: boolean;
}

export interface Claims {
  add(name: string, claimant: Claimant): void;
  drop(name: string, id: string): void;
  /** Id of the Sandbox whose it is. */
  holder(name: string): string | undefined;
}

export function createClaims(): Claims {
  const claims = new Map<string, readonly Claimant[]>();
  const without = (name: string, id: string) => (claims.get(name) ?? []).filter((one) => one.id !== id);
  return {
    add: (name, claimant) => void claims.set(name, [...without(name, claimant.id), claimant]),
    drop(name, id) {
      const left = without(name, id);
      if (left.length === 0) claims.delete(name);
      else claims.set(name, left);
    },
    holder(name) {
      const claimants = claims.get(name);
      return claimants?.length === 1 ? claimants[0]?.id : rightful(claimants ?? [])?.id;
    },
  };
}

/** The one by uid; else the name is its first owner's, and among his sandboxes the newest one's. Pure. */
export function rightful(claimants: readonly Claimant[]): Claimant | undefined {
  const byAge = [...claimants].sort((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1));
  const [oldest] = byAge;
  return byAge.find(({ isByUid }) => isByUid) ?? byAge.findLast(({ owner }) => owner === oldest?.owner);
}
