/** `/sockets/session/{id}`: events with their sequence numbers, so that a client resumes where it stopped. */
import type { WebSocket } from 'ws';
import type { Context } from '../context.js';
import { collectFrames, subscribe } from './events.js';
import { startPump } from './pump.js';

export async function serveSession(
  context: Context,
  socket: WebSocket,
  target: { conversationId: string; afterSeq: number | undefined },
): Promise<void> {
  const waiting = collectFrames(socket);
  const live = await subscribe(context, socket, target.conversationId);
  if (live === undefined) return;
  const { conversation } = live;
  const log = conversation.events;
  const size = log.index.size;
  const send = (frame: Record<string, unknown>) => socket.send(JSON.stringify(frame));
  send({ type: 'sync', through_seq: size - 1 });
  send({ type: 'transient', event: conversation.stateEvent() });
  const stop = conversation.onTransient((event) => send({ type: 'transient', event }));
  socket.once('close', stop);
  socket.once(
    'close',
    conversation.onShut(() => socket.close(1001, 'Conversation closed')),
  );
  startPump({
    socket,
    log,
    from: target.afterSeq === undefined ? size : Math.min(size, Math.max(0, target.afterSeq + 1)),
    frame: (seq, json) => `{"type":"durable","seq":${seq},"event":${json}}`,
  });
  waiting.serve(async () => undefined);
}
