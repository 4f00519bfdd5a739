/** All webhooks of the server: a feed per conversation and receiver, and the announcements of conversations. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../../process/log.js';
import type { WebhookSpec } from '../config.js';
import type { Conversation } from '../conversations/conversation.js';
import { writeFileAtomic } from '../conversations/record.js';
import { hexOf } from '../http/uuid.js';
import type { Clock } from '../seam.js';
import { createFeed, type Feed } from './feed.js';
import { createSender } from './sender.js';

export interface Webhooks {
  /** Sends this conversation's events from now on, and those that a former process left unsent. */
  follow(conversation: Conversation): Promise<void>;
  unfollow(conversationId: string): Promise<void>;
  /** Tells the receivers about a conversation, in the background. */
  announce(info: Record<string, unknown>): void;
  /** Sends what waits, within a bounded time. */
  flush(timeoutMs: number): Promise<void>;
}

export interface WebhookOptions {
  specs: () => WebhookSpec[];
  sessionKey: () => string | null;
  clock: Clock;
  log: Logger;
}

const PLACES = 'webhooks.json';

export function createWebhooks(options: WebhookOptions): Webhooks {
  const { clock, log } = options;
  const feeds = new Map<string, Feed[]>();
  const announcements = new Set<Promise<unknown>>();
  const senderOf = (spec: WebhookSpec) =>
    createSender({
      spec,
      sessionKey: options.sessionKey,
      clock,
      onFailure: (reason) => log.warn({ reason, host: hostOf(spec.base_url) }, 'webhook failed'),
    });

  return {
    async follow(conversation) {
      if (feeds.has(conversation.id)) return;
      const places = await readPlaces(conversation.dataDir);
      const list = options.specs().map((spec) =>
        createFeed({
          spec,
          sender: senderOf(spec),
          path: `/events/${hexOf(conversation.id)}`,
          events: conversation.events,
          from: places[spec.base_url] ?? 0,
          onRefused: (seq) =>
            log.error(
              { conversation_id: conversation.id, seq, host: hostOf(spec.base_url) },
              'a webhook refuses an event: left out',
            ),
          onSent: async (next) => {
            places[spec.base_url] = next;
            await writeFileAtomic(join(conversation.dataDir, PLACES), JSON.stringify(places), { durable: false }).catch(
              (error: unknown) => log.warn({ err: error }, 'could not keep the place of a webhook'),
            );
          },
        }),
      );
      feeds.set(conversation.id, list);
    },
    async unfollow(conversationId) {
      const list = feeds.get(conversationId) ?? [];
      feeds.delete(conversationId);
      await Promise.all(list.map((feed) => feed.stop()));
    },
    announce(info) {
      const body = JSON.stringify(info);
      for (const spec of options.specs()) {
        const sent = senderOf(spec)
          .post('/conversations', body)
          .finally(() => announcements.delete(sent));
        announcements.add(sent);
      }
    },
    async flush(timeoutMs) {
      const all = [...[...feeds.values()].flat().map((feed) => feed.flush()), ...announcements];
      await Promise.race([Promise.all(all), clock.sleep(timeoutMs)]);
    },
  };
}

async function readPlaces(folder: string): Promise<Record<string, number>> {
  try {
    return JSON.parse(await readFile(join(folder, PLACES), 'utf8')) as Record<string, number>;
  } catch {
    // None yet, or unreadable: everything is sent again, and receivers know events by their id.
    return {};
  }
}

/** A webhook's URL may hold credentials; its host does not. */
const hostOf = (url: string): string => (URL.canParse(url) ? new URL(url).host : 'invalid URL');
