/** `/sockets/bash-events`: commands and their output as they happen; commands in the other direction. */
import type { WebSocket } from 'ws';
import type { Context } from '../context.js';
import { bashRequest } from '../services/bash.js';
import { collectFrames, isAuth } from './events.js';
import { readFrame } from './frames.js';
import { startPump } from './pump.js';
import type { Resend } from './upgrade.js';

export async function serveBash(context: Context, socket: WebSocket, resend: Resend): Promise<void> {
  const waiting = collectFrames(socket);
  const { bash } = context;
  if (resend.mode === 'all') {
    const log = await bash.log();
    startPump({ socket, log, from: 0, frame: (_seq, json) => json });
  } else {
    const stop = bash.subscribe((json) => socket.send(json));
    socket.once('close', stop);
  }
  waiting.serve(async (text) => {
    if (isAuth(text)) return;
    const frame = readFrame(text, bashRequest, 'ExecuteBashRequest');
    if (!frame.ok) return socket.send(JSON.stringify(bash.error(frame.code, frame.detail)));
    try {
      await bash.start(frame.value);
    } catch (error) {
      const [code, detail] = error instanceof Error ? [error.name, error.message] : ['Error', String(error)];
      socket.send(JSON.stringify(bash.error(code, detail)));
    }
  });
}
