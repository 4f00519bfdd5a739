/** Deleted conversations kept for a while, where the installation says where. Each lies under its owner. */
import type { Clock } from '../../kube/types.js';
import type { Logger } from '../../process/log.js';
import type { Conversation, PrismaClient } from '../db/generated/client.js';
import type { Leases } from '../db/leases.js';
import { ApiError } from '../http/errors.js';
import { openStore, type ArchiveSettings, type ArchiveStore } from './store.js';
import { archiveOf, readArchive, type Trajectory } from './trajectory.js';

export interface Archive {
  /** Resolves when the whole history lies there. Throws ApiError `archive_unavailable`. */
  keep(conversation: Conversation): Promise<void>;
  /** What is kept of an owner's deleted conversation. Throws ApiError `archive_unavailable`, `too_many_events`. */
  read(ownerId: string, conversationId: string, mostEvents: number): Promise<Trajectory | undefined>;
  /** Removes what is too old; answers how much. */
  sweep(): Promise<number>;
  start(): void;
  stop(): Promise<void>;
}

export interface ArchiveOptions {
  settings: ArchiveSettings;
  prisma: PrismaClient;
  leases: Leases;
  clock: Clock;
  log: Logger;
}

const SWEEP_MS = 3_600_000;
const LEASE = 'archive';

const keyOf = (ownerId: string, conversationId: string): string =>
  `conversations/${Buffer.from(ownerId).toString('base64url')}/${conversationId}.jsonl.gz`;

/** The place may hold what is not ours: a bucket without prefix, a folder of others. Parts of writes that died are ours. */
const OURS = /^conversations\/[\w-]+\/[^/]+\.jsonl\.gz(?:\.[\w-]+\.part)?$/;

export function createArchive({ settings, prisma, leases, clock, log }: ArchiveOptions): Archive {
  let opened: Promise<ArchiveStore> | undefined;
  const store = () =>
    (opened ??= openStore(settings).catch((error: unknown) => {
      // Asked again at the next need, not refused for ever.
      opened = undefined;
      throw error;
    }));
  const stopping = new AbortController();
  let sweeping = Promise.resolve();

  const asked = async <T>(what: string, work: (at: ArchiveStore) => Promise<T>): Promise<T> => {
    try {
      return await work(await store());
    } catch (cause) {
      if (cause instanceof ApiError) throw cause;
      log.error({ err: cause, what }, 'the archive failed');
      throw new ApiError('archive_unavailable', { cause });
    }
  };
  const sweep = async (): Promise<number> => {
    const at = await store();
    let removed = 0;
    for await (const { key, at: time } of at.list()) {
      if (stopping.signal.aborted) break;
      if (!OURS.test(key) || clock.now() - time.getTime() < settings.keepMs) continue;
      await at.remove(key);
      removed += 1;
    }
    return removed;
  };
  const loop = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      try {
        if (await leases.take(LEASE, SWEEP_MS)) {
          const removed = await sweep();
          if (removed > 0) log.info({ removed }, 'removed old archives');
        }
      } catch (error) {
        log.warn({ err: error }, 'old archives are removed later');
      }
      await clock.sleep(SWEEP_MS, stopping.signal).catch(() => undefined);
    }
  };

  return {
    keep: (conversation) =>
      asked('keep', async (at) => {
        const content = archiveOf(prisma, conversation);
        // A store that fails may not have begun to read it, or have stopped: nobody else hears of its errors then.
        content.on('error', () => undefined);
        try {
          await at.put(keyOf(conversation.ownerId, conversation.id), content);
        } finally {
          content.destroy();
        }
      }),
    read: (ownerId, conversationId, mostEvents) =>
      asked('read', async (at) => {
        const content = await at.get(keyOf(ownerId, conversationId));
        if (content === undefined) return undefined;
        const trajectory = await readArchive(content, mostEvents);
        if (trajectory === undefined) throw new ApiError('too_many_events');
        return trajectory;
      }),
    sweep,
    start() {
      sweeping = loop();
    },
    async stop() {
      stopping.abort();
      await sweeping;
      await (await opened?.catch(() => undefined))?.close();
    },
  };
}
