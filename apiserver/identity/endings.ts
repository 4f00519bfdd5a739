/**
 * What a session had opened ends with it: gateways let browsers in by cookies of their own, and learn from the owner's
 * Sandboxes (spec.endedSessions) which sessions are over. Rows of ended sessions wait here until all of these say so; any
 * replica may do it, and doing it twice changes nothing.
 */
import type { Clock } from '../../kube/types.js';
import type { Logger } from '../../process/log.js';
import { sessionMark } from '../../contracts/tokens.js';
import type { PrismaClient } from '../db/generated/client.js';
import type { SandboxControl } from '../sandboxes/control.js';
import type { SandboxDirectory } from '../sandboxes/directory.js';
import { SEEN_MS } from './sessions.js';

export interface Endings {
  start(): void;
  /** A session has ended: look now. */
  soon(): void;
  /** Tells all sandboxes of an owner now. Throws ApiError. */
  tell(ownerId: string, ids: readonly string[]): Promise<void>;
  stop(): Promise<void>;
}

export interface EndingsOptions {
  prisma: PrismaClient;
  directory: Pick<SandboxDirectory, 'ownedBy'>;
  control: Pick<SandboxControl, 'endSessions'>;
  clock: Pick<Clock, 'now'>;
  log: Logger;
  idleMs: number;
}

/** Also finds sessions that ended by their time, and those whose end another replica did not get through. */
const LOOK_MS = 30_000;
const PAGE = 200;

export function createEndings(options: EndingsOptions): Endings {
  const { prisma, directory, control, clock, log, idleMs } = options;
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;
  let again = false;

  async function tell(ownerId: string, ids: readonly string[]): Promise<void> {
    const ended = { ids, at: new Date(clock.now()) };
    for (const { metadata } of directory.ownedBy(ownerId)) await control.endSessions(metadata.name, ended);
  }

  async function look(): Promise<void> {
    const now = clock.now();
    const rows = await prisma.session.findMany({
      where: {
        OR: [
          { endedAt: { not: null } },
          { expiresAt: { lte: new Date(now) } },
          { seenAt: { lt: new Date(now - idleMs - SEEN_MS) } },
        ],
      },
      select: { id: true, ownerId: true },
      take: PAGE,
    });
    if (rows.length === PAGE) again = true;
    for (const ownerId of new Set(rows.map((row) => row.ownerId))) {
      const ids = rows.filter((row) => row.ownerId === ownerId).map(({ id }) => id);
      try {
        await tell(ownerId, ids.map(sessionMark));
        await prisma.session.deleteMany({ where: { id: { in: ids } } });
      } catch (error) {
        again = false;
        log.warn({ err: error, user_id: ownerId }, 'gateways hear later that sessions have ended');
      }
    }
  }

  function soon(): void {
    if (running !== undefined) return void (again = true);
    again = false;
    running = look()
      .catch((error: unknown) => log.warn({ err: error }, 'ended sessions are looked for later'))
      .finally(() => {
        running = undefined;
        if (again && timer !== undefined) soon();
      });
  }

  return {
    start() {
      timer = setInterval(soon, LOOK_MS);
      soon();
    },
    soon,
    tell,
    async stop() {
      clearInterval(timer);
      timer = undefined;
      await running;
    },
  };
}
