/** Times as the wire has them: events carry server time without a zone, conversations UTC with one. */

/** Microseconds that never repeat nor go back within this process, whatever the clock does. */
export function createStamper(now: () => number): () => number {
  let last = 0;
  return () => (last = Math.max(now() * 1000, last + 1));
}

const two = (value: number) => String(value).padStart(2, '0');

/** `2026-05-01T09:00:00.123456`, local time. */
export function localTime(micros: number): string {
  const date = new Date(Math.floor(micros / 1000));
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return `${day}T${time}.${String(date.getMilliseconds()).padStart(3, '0')}${String(micros % 1000).padStart(3, '0')}`;
}

/** `2026-05-01T09:00:00.123456Z` */
export function utcTime(micros: number): string {
  const iso = new Date(Math.floor(micros / 1000)).toISOString();
  return `${iso.slice(0, -1)}${String(micros % 1000).padStart(3, '0')}Z`;
}
