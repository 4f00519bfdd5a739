/**
 * Connections to pods. One is reused only for the same pod (slot), address and port, only after a complete answer, and
 * not after a silence in which servers hang up: what is not safe is never repeated, so it must not meet a closing connection.
 */
import { connect as netConnect, type Socket } from 'node:net';
import { listen, type LinkUser } from './link.js';

export interface Target {
  slot: string;
  ip: string;
  port: number;
}

export interface Upstream {
  socket: Socket;
  key: string;
  slot: string;
  /** Whoever it serves now; undefined in the pool. */
  user: LinkUser | undefined;
  /** Closed when it is still idle then (ms since 1970). */
  idleUntil: number;
  /** The pod has said its last word. */
  ended: boolean;
}

export interface Pool {
  /** An idle connection, or undefined. */
  take(target: Target): Upstream | undefined;
  /** A new one. `done` is called once, unless cancelled by the returned function. The error means: nothing was sent. */
  dial(target: Target, done: (error: Error | undefined, upstream: Upstream | undefined) => void): () => void;
  /** Back, for `idleMs` at most. */
  give(upstream: Upstream, now: number, idleMs?: number): void;
  /** Drops the idle connections to a pod that is gone. */
  forget(slot: string): void;
  sweep(now: number): void;
  close(): void;
  /** Idle and busy connections. */
  size(): { idle: number; open: number };
}

export interface PoolOptions {
  dialTimeoutMs: number;
  /** Below the 2 s of gunicorn and the 5 s of Node and uvicorn. */
  idleMs: number;
  maxIdlePerPort: number;
  connect?: (port: number, ip: string) => Socket;
}

/** What must be the same for a connection to be used again. */
export const keyOf = (target: Target) => `${target.slot}|${target.ip}|${target.port}`;

export function createPool(options: PoolOptions): Pool {
  const idle = new Map<string, Upstream[]>();
  const open = new Set<Upstream>();
  const connect =
    options.connect ?? ((port: number, ip: string) => netConnect({ port, host: ip, allowHalfOpen: true }));

  const withdraw = (upstream: Upstream) => {
    const waiting = idle.get(upstream.key);
    const at = waiting?.indexOf(upstream) ?? -1;
    if (waiting === undefined || at < 0) return;
    waiting.splice(at, 1);
    if (waiting.length === 0) idle.delete(upstream.key);
  };
  const discard = (upstream: Upstream) => {
    withdraw(upstream);
    upstream.socket.destroy();
  };
  const adopt = (socket: Socket, target: Target): Upstream => {
    const upstream: Upstream = {
      socket,
      key: keyOf(target),
      slot: target.slot,
      user: undefined,
      idleUntil: 0,
      ended: false,
    };
    open.add(upstream);
    listen(socket, {
      // Bytes without a request are the beginning of somebody else's answer: never keep such a connection.
      data: (chunk) => (upstream.user === undefined ? discard(upstream) : upstream.user.data(chunk)),
      ended: () => {
        upstream.ended = true;
        if (upstream.user === undefined) discard(upstream);
        else upstream.user.ended();
      },
      drained: () => upstream.user?.drained(),
      closed: () => {
        upstream.ended = true;
        open.delete(upstream);
        withdraw(upstream);
        upstream.user?.closed();
      },
    });
    return upstream;
  };
  return {
    take(target) {
      const key = keyOf(target);
      const waiting = idle.get(key);
      const upstream = waiting?.pop();
      if (waiting?.length === 0) idle.delete(key);
      return upstream;
    },
    dial: (target, done) => dial({ target, done, adopt, connect, timeoutMs: options.dialTimeoutMs }),
    give(upstream, now, idleMs = options.idleMs) {
      const waiting = idle.get(upstream.key) ?? [];
      upstream.user = undefined;
      if (upstream.ended || upstream.socket.destroyed || idleMs <= 0 || waiting.length >= options.maxIdlePerPort)
        return discard(upstream);
      upstream.idleUntil = now + idleMs;
      if (upstream.socket.isPaused()) upstream.socket.resume();
      waiting.push(upstream);
      idle.set(upstream.key, waiting);
    },
    forget(slot) {
      for (const waiting of [...idle.values()]) if (waiting[0]?.slot === slot) [...waiting].forEach(discard);
    },
    sweep(now) {
      for (const waiting of [...idle.values()])
        for (const upstream of [...waiting]) if (upstream.idleUntil <= now) discard(upstream);
    },
    close() {
      for (const upstream of open) upstream.socket.destroy();
    },
    size: () => ({ idle: [...idle.values()].reduce((sum, waiting) => sum + waiting.length, 0), open: open.size }),
  };
}

interface Dial {
  target: Target;
  done: (error: Error | undefined, upstream: Upstream | undefined) => void;
  adopt: (socket: Socket, target: Target) => Upstream;
  connect: (port: number, ip: string) => Socket;
  timeoutMs: number;
}

function dial({ target, done, adopt, connect, timeoutMs }: Dial): () => void {
  const socket = connect(target.port, target.ip);
  const finish = (error: Error | undefined) => {
    clearTimeout(timer);
    socket.removeListener('error', finish);
    socket.removeListener('connect', connected);
    if (error === undefined) return done(undefined, adopt(socket, target));
    socket.on('error', () => undefined);
    socket.destroy();
    done(error, undefined);
  };
  const connected = () => finish(undefined);
  const timer = setTimeout(
    () => finish(Object.assign(new Error('no answer to the dial'), { code: 'ETIMEDOUT' })),
    timeoutMs,
  );
  socket.setNoDelay(true);
  socket.setKeepAlive(true, 60_000);
  socket.once('error', finish);
  socket.once('connect', connected);
  return () => {
    clearTimeout(timer);
    socket.removeListener('connect', connected);
    socket.removeListener('error', finish);
    socket.on('error', () => undefined);
    socket.destroy();
  };
}
