/** A socket whose events go to whoever uses it at the moment, so that a reused connection costs no listeners per request. */
import type { Socket } from 'node:net';

export interface LinkUser {
  data(chunk: Buffer): void;
  /** The other side will send nothing more. */
  ended(): void;
  /** Gone for good; called once. */
  closed(): void;
  /** What was written has gone out; more may come. */
  drained(): void;
}

export function listen(socket: Socket, user: LinkUser): void {
  socket.on('data', (chunk: Buffer) => user.data(chunk));
  socket.on('end', () => user.ended());
  socket.on('drain', () => user.drained());
  // 'close' always follows; without a listener an error would end the process.
  socket.on('error', () => socket.destroy());
  socket.on('close', () => user.closed());
}
