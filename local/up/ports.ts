/** Finds a taken port before anything is started, so that the message can name the option. */
import { createServer } from 'node:net';
import type { UpOptions } from './options.js';

export class PortTaken extends Error {
  override readonly name = 'PortTaken';
}

const OPTIONS = [
  ['port', '--port', 'the web UI'],
  ['gatewayPort', '--gateway-port', 'the gateway'],
  ['kubePort', '--kube-port', 'the Kubernetes API'],
] as const;

const TRIES = 25;
const PAUSE_MS = 200;

/**
 * @param patient wait some seconds for programs of a run that was killed a moment ago
 * @throws PortTaken
 */
export async function checkPorts(options: UpOptions, patient: boolean): Promise<void> {
  for (const [name, flag, what] of OPTIONS) {
    const port = options[name];
    for (let tries = 1; !(await isFree(port)); tries++) {
      if (!patient || tries === TRIES)
        throw new PortTaken(
          `port ${port} (for ${what}) is taken by another program: choose a free one with ${flag} PORT`,
        );
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}
