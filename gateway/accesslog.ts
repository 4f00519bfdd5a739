/** The access log: a JSON line per request on standard output, written in batches. */
import { pino } from 'pino';
import { lineHead } from '../process/log.js';
import type { Finished } from './gateway.js';
import { traceIdOf } from './http/trace.js';

export interface AccessLog {
  write(finished: Finished): void;
  close(): void;
}

export const noAccessLog: AccessLog = { write: () => undefined, close: () => undefined };

const FLUSH_MS = 500;
const BATCH_CHARACTERS = 16 * 1024;
/** A log that nobody reads is dropped beyond this, not kept. */
const MAX_BYTES = 4 * 1024 * 1024;

/** Lines are gathered here, since the destination measures all that it holds again with each piece that it is given. */
export function createAccessLog(dest: number | string = 1, json = false): AccessLog {
  const out = pino.destination({ dest, sync: false, maxLength: MAX_BYTES });
  const lineOf = lineWriter(json);
  let lines = '';
  const pass = () => {
    const batch = lines;
    lines = '';
    if (batch !== '') out.write(batch);
  };
  const timer = setInterval(pass, FLUSH_MS);
  timer.unref();
  return {
    write(finished) {
      lines += lineOf(finished, Date.now());
      if (lines.length >= BATCH_CHARACTERS) pass();
    },
    close() {
      clearInterval(timer);
      try {
        pass();
        out.flushSync();
      } catch {
        // Not open yet, or the reader is gone: there is nobody to tell.
      }
    },
  };
}

/**
 * Queries stay out of lines: they may hold keys and passes. Lines are put together as text, since an object whose keys differ
 * from request to request costs more to build than all the rest of a request. `now`: ms since 1970.
 */
export function lineWriter(json = false): (finished: Finished, now: number) => string {
  const owner = json ? 'user_id' : 'owner';
  let at = NaN;
  /** What all lines of a millisecond begin with. */
  let beginning = '';
  return ({ ip, head, status, reason, context, grant, bytesIn, bytesOut, ms }, now) => {
    if (now !== at) {
      at = now;
      beginning = JSON.stringify(lineHead(json, new Date(now).toISOString())).slice(0, -1);
    }
    let line = beginning;
    if (json) line += field('message', `${head?.method ?? '-'} ${status}`);
    line += `,"name":"access"${field('ip', ip)}`;
    if (head !== undefined)
      line += field('method', head.method) + field('host', head.host) + field('path', head.path.slice(0, MAX_PATH));
    line += `,"status":${status}`;
    if (reason !== undefined) line += field('reason', reason);
    if (context !== undefined) {
      const { route, port, located } = context;
      line += field('slot', route.slot) + field('sandbox', route.sandbox) + field(owner, route.owner);
      if (port.name !== undefined) line += field('port', port.name);
      else if (port.number !== undefined) line += `,"port":${port.number}`;
      line += field('source', located.source);
    }
    if (grant !== undefined) line += field('grant', grant);
    if (head !== undefined) line += field('trace', traceIdOf(head.trace));
    return `${line},"in":${bytesIn},"out":${bytesOut},"ms":${Math.round(ms * 10) / 10}}\n`;
  };
}

const MAX_PATH = 512;

/** What stands for itself in JSON. */
const PLAIN = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;

const field = (name: string, value: string): string =>
  `,"${name}":${PLAIN.test(value) ? `"${value}"` : JSON.stringify(value)}`;
