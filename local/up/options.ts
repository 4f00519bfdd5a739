/** The options of `sandlot up`. Pure. */
import { resolve } from 'node:path';

export interface UpOptions {
  /** Absolute. */
  dataDir: string;
  port: number;
  gatewayPort: number;
  kubePort: number;
}

/** A wrong command line; the message is for the person at the terminal. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export const usage = `sandlot up: everything on this machine: a small Kubernetes, the operator, the gateway, the API server and the UI

  --data DIR            folder for everything that is kept (./.sandlot)
  --port PORT           web UI and REST API (3000)
  --gateway-port PORT   traffic to sandboxes (3001)
  --kube-port PORT      Kubernetes API (3002)

All of it listens on this machine's loopback addresses only. Sandboxes run as processes of your own user, without
isolation: what an agent runs can read and change what you can. This is for development, demos and tests; production is a
real cluster.

Environment: LOG_LEVEL (info) and LOG_JSON (false) of the programs, whose logs are in DIR/logs.
`;

const FLAGS = {
  '--data': 'dataDir',
  '--port': 'port',
  '--gateway-port': 'gatewayPort',
  '--kube-port': 'kubePort',
} as const;

/** @throws UsageError */
export function parseOptions(argv: readonly string[], cwd: string): UpOptions {
  const options: UpOptions = { dataDir: resolve(cwd, '.sandlot'), port: 3000, gatewayPort: 3001, kubePort: 3002 };
  for (let at = 0; at < argv.length; at++) {
    const [flag = '', inline] = splitOnce(argv[at] ?? '');
    if (!Object.hasOwn(FLAGS, flag)) throw new UsageError(`unknown option ${flag}`);
    const value = inline ?? argv[++at];
    if (value === undefined || value === '') throw new UsageError(`${flag} needs a value`);
    const name = FLAGS[flag as keyof typeof FLAGS];
    if (name === 'dataDir') options.dataDir = resolve(cwd, value);
    else options[name] = portOf(flag, value);
  }
  const ports = [options.port, options.gatewayPort, options.kubePort];
  if (new Set(ports).size < ports.length) throw new UsageError(`the three ports must differ: ${ports.join(', ')}`);
  return options;
}

function splitOnce(argument: string): [string, string | undefined] {
  const equals = argument.indexOf('=');
  return equals === -1 ? [argument, undefined] : [argument.slice(0, equals), argument.slice(equals + 1)];
}

function portOf(flag: string, text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65535) throw new UsageError(`${flag}: ${text} is no port number (1 to 65535)`);
  return port;
}
