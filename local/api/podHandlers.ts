/**
 * The joint between the API server and the node: what the node does for the pod subresources that a real API server passes
 * on to the kubelet. The API server has authenticated the request and found the pod before it calls a handler.
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Pod } from '../../kube/kinds.js';

/** A request for a subresource of one existing pod. */
export interface PodRequest {
  pod: Pod;
  /** The request's query: `container`, `follow`, `tailLines`, `command`, `ports`, … as kubectl sends them. */
  query: URLSearchParams;
  /** Aborted when the client goes away or the API server closes. */
  signal: AbortSignal;
}

/** A request that wants to become a stream: WebSocket (`v5.channel.k8s.io`, …) or `Upgrade: SPDY/3.1`. */
export interface PodStreamRequest extends PodRequest {
  request: IncomingMessage;
  /** The raw connection; nothing has been answered yet. The handler answers the upgrade, or writes an HTTP error. */
  socket: Duplex;
  /** First bytes after the request's head. */
  head: Buffer;
}

/**
 * Handlers of the node. `log` answers the bytes of the log (plain text, in order) and ends when the log does, or at
 * `signal` when following; an `ApiError` of `errors.ts` thrown before the first chunk becomes the Status answer. The stream
 * handlers own the socket from the call on and must close it; they are called without being awaited and must not throw.
 */
export interface PodHandlers {
  log(request: PodRequest): Promise<AsyncIterable<Uint8Array | string>>;
  exec(request: PodStreamRequest): void;
  attach(request: PodStreamRequest): void;
  portForward(request: PodStreamRequest): void;
}
