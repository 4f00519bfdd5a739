import { setTimeout as sleep } from 'node:timers/promises';

/** The first value that is neither undefined nor false; rejects with the name and the last error after `timeoutMs`. */
export async function until<T>(what: string, check: () => Promise<T> | T, timeoutMs = 20_000): Promise<NonNullable<T>> {
  const end = Date.now() + timeoutMs;
  let last: unknown;
  while (Date.now() < end) {
    try {
      const value = await check();
      if (value !== undefined && value !== null && value !== false) return value;
      last = undefined;
    } catch (error) {
      last = error;
    }
    await sleep(20);
  }
  throw new Error(`waited ${timeoutMs} ms for ${what}`, { cause: last });
}
