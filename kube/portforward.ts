/**
 * A byte stream to a port of a pod through the API server, for programs outside the cluster's network.
 * Protocol: WebSocket `v4.channel.k8s.io`; each binary frame starts with its channel (0 data, 1 error), and the first frame of
 * each channel is the port as two bytes, little-endian. The protocol has no half-close: ending the stream closes it.
 */
import { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { errorOf, KubeError } from './errors.js';
import type { KubeConfig } from './config.js';
import { POD } from './kinds.js';
import { queryString, resourcePath, type Ref } from './paths.js';

const DATA = 0;
const PROTOCOL = 'v4.channel.k8s.io';
const CONNECT_TIMEOUT_MS = 15_000;
const MAX_FRAME_BYTES = 16 * 1024 * 1024;

/**
 * Opens one connection to `port` of the pod. The stream is destroyed with a KubeError when the node reports an error, and
 * ends when the pod closes.
 * @throws KubeError when the API server refuses.
 */
export async function openPortForward(options: {
  config: KubeConfig;
  pod: Ref;
  port: number;
  signal?: AbortSignal;
}): Promise<Duplex> {
  const { config, pod, port, signal } = options;
  signal?.throwIfAborted();
  const path = resourcePath(POD, pod, 'portforward');
  const [{ WebSocket }, { headers, tls }] = await Promise.all([import('ws'), config.credentials()]);
  const socket = new WebSocket(config.server.replace(/^http/, 'ws') + path + queryString({ ports: port }), [PROTOCOL], {
    headers,
    ...tls,
    handshakeTimeout: CONNECT_TIMEOUT_MS,
    maxPayload: MAX_FRAME_BYTES,
    perMessageDeflate: false,
  });
  const stream = duplexOf(socket);
  const onAbort = (): void => {
    stream.destroy(signal?.reason instanceof Error ? signal.reason : new Error('aborted'));
  };
  signal?.addEventListener('abort', onAbort, { once: true });
  stream.once('close', () => signal?.removeEventListener('abort', onAbort));
  await opened(socket, stream, `portforward ${path}`);
  return stream;
}

function opened(socket: WebSocket, stream: Duplex, call: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (message: string, cause?: unknown): KubeError =>
      new KubeError(`${call}: ${message}`, { code: 0, reason: 'ConnectionFailed', cause });
    // Before `open`, an error of the stream is the failure of the call; later the stream's user sees it.
    const onError = (error: Error): void => reject(error instanceof KubeError ? error : failed(error.message, error));
    const onClose = (): void => reject(failed('closed'));
    stream.once('error', onError).once('close', onClose);
    socket.once('open', () => {
      stream.off('error', onError).off('close', onClose);
      resolve();
    });
    socket.once('unexpected-response', (_request, response) => {
      response.resume();
      stream.destroy(errorOf({ code: response.statusCode ?? 0, body: '', call }));
    });
  });
}

function duplexOf(socket: WebSocket): Duplex {
  const greeted = new Set<number>();
  const onFrame = (frame: Buffer): void => {
    const channel = frame[0];
    if (channel === undefined) return;
    const first = !greeted.has(channel);
    greeted.add(channel);
    // The port number comes first on each channel.
    const payload = frame.subarray(first ? 3 : 1);
    if (payload.length === 0) return;
    if (channel !== DATA) {
      stream.destroy(
        new KubeError(`the node says: ${payload.toString('utf8').slice(0, 500)}`, {
          code: 0,
          reason: 'ConnectionFailed',
        }),
      );
    } else if (!stream.push(payload)) socket.pause();
  };
  const stream = new Duplex({
    read: () => socket.resume(),
    write(chunk: Buffer, _encoding, callback) {
      socket.send(Buffer.concat([Buffer.of(DATA), chunk]), callback);
    },
    final(callback) {
      socket.close(1000);
      callback();
    },
    destroy(error, callback) {
      socket.terminate();
      callback(error);
    },
  });
  socket.on('message', (data: Buffer) => onFrame(data));
  socket.on('close', () => stream.push(null));
  socket.on('error', (error) => stream.destroy(error));
  return stream;
}
