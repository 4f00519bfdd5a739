/** Which of the user's sandboxes a new conversation joins, by the user's `sandbox_grouping_strategy`. */
import type { Sandbox } from '../../contracts/resources.js';
import type { OwnedDb } from '../db/owned.js';
import type { SandboxDirectory } from '../sandboxes/directory.js';
import { statusOf } from '../sandboxes/status.js';

/** As in the original: one agent server gets slow with more. */
export const MAX_CONVERSATIONS = 20;

export interface Candidate {
  id: string;
  createdAt: string;
  conversations: number;
}

/** undefined: a new one. Equal ones are told apart by id, so that a repeated start chooses alike. Pure. */
export function chooseSandbox(strategy: string, candidates: readonly Candidate[]): string | undefined {
  const free = candidates.filter(({ conversations }) => conversations < MAX_CONVERSATIONS);
  const before = ORDERS[strategy];
  if (before === undefined) return undefined;
  return [...free].sort((a, b) => before(a, b) || (a.id < b.id ? -1 : 1))[0]?.id;
}

type Order = (a: Candidate, b: Candidate) => number;
const oldest: Order = (a, b) => Date.parse(a.createdAt) - Date.parse(b.createdAt);
const ORDERS: Record<string, Order> = {
  GROUP_BY_NEWEST: (a, b) => oldest(b, a),
  LEAST_RECENTLY_USED: oldest,
  FEWEST_CONVERSATIONS: (a, b) => a.conversations - b.conversations,
  ADD_TO_ANY: () => 0,
};

/** Running sandboxes that hold conversations of the user's; those of the Runtime API's callers are their own. */
export async function candidatesOf(
  db: OwnedDb,
  { directory, ownerId }: { directory: SandboxDirectory; ownerId: string },
): Promise<Candidate[]> {
  const running = directory.ownedBy(ownerId).filter((sandbox) => statusOf(sandbox) === 'RUNNING');
  const counted = await db.conversation.groupBy({
    by: ['sandboxId'],
    where: { sandboxId: { in: running.map(nameOf) } },
    _count: { _all: true },
  });
  return running.flatMap((sandbox) => {
    const found = counted.find(({ sandboxId }) => sandboxId === nameOf(sandbox));
    const createdAt = sandbox.metadata.creationTimestamp ?? '';
    return found === undefined ? [] : [{ id: nameOf(sandbox), createdAt, conversations: found._count._all }];
  });
}

const nameOf = ({ metadata }: Sandbox): string => metadata.name;
