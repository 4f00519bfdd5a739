import type { Redis } from 'ioredis';
import type { Logger } from '../../process/log.js';

const CONNECT_MS = 5_000;
const ANSWER_MS = 500;
const LONGEST_RETRY_MS = 10_000;

/** A connection that is made again by itself. Commands fail at once while it is away: nobody waits for a count. */
export async function openRedis(url: string, log: Logger): Promise<Redis> {
  const { Redis } = await import('ioredis');
  const redis = new Redis(url, {
    connectTimeout: CONNECT_MS,
    commandTimeout: ANSWER_MS,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    retryStrategy: (times) => Math.min(times * 200, LONGEST_RETRY_MS),
  });
  let isAway = false;
  redis.on('error', (error: Error) => {
    if (!isAway) log.warn({ err: error }, 'Redis does not answer; requests are not counted');
    isAway = true;
  });
  redis.on('ready', () => {
    if (isAway) log.info('Redis answers again');
    isAway = false;
  });
  return redis;
}
