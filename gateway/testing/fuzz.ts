/** Mutations of messages by a generator with a seed, so that every run of a suite tries the same. */
import { GOOD } from './raw.js';

export type Random = (below: number) => number;

/** mulberry32. */
export function generator(seed: number): Random {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const BITS = [
  '\r',
  '\n',
  '\r\n',
  '\r\n\r\n',
  '\0',
  '\x0b',
  ' ',
  '\t',
  ':',
  ',',
  ';',
  '0',
  'f',
  '\x80',
  'Content-Length: 3\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Connection: close\r\n',
  'Connection: upgrade\r\nUpgrade: websocket\r\n',
  'Expect: 100-continue\r\n',
  'Host: x\r\n',
  GOOD,
];

/** One to four insertions, deletions or replacements. */
export function mutate(text: string, random: Random): string {
  let result = text;
  for (let count = 1 + random(4); count > 0; count--) {
    const at = random(result.length + 1);
    const cut = random(3) === 0 ? random(12) : random(2);
    result = result.slice(0, at) + (random(3) === 0 ? '' : (BITS[random(BITS.length)] ?? '')) + result.slice(at + cut);
  }
  return result;
}
