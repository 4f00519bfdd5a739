/** `sandlot agent-server`: the server of one pod. */
import { systemClock } from '../process/clock.js';
import { ConfigError } from '../process/config.js';
import { runProgram } from '../process/run.js';
import { readServerConfig, type ServerConfig } from './config.js';
import { forgetKeys, handedOver } from './forget.js';

export const usage = `sandlot agent-server [--host HOST] [--port PORT]

The server inside a sandbox: runs the agent and speaks the OpenHands agent-server API (REST and WebSocket).

  HOST, PORT                   where it listens (8000; all addresses when a session key is set, else loopback)
  OH_SESSION_API_KEYS_0, …     keys that clients send as X-Session-API-Key (or SESSION_API_KEY)
  OH_SECRET_KEY                encrypts what is stored; keep it the same for the life of the data
  OH_CONVERSATIONS_PATH        where conversations are kept (workspace/conversations)
  OH_BASH_EVENTS_DIR           where commands are kept (workspace/bash_events)
  OH_WEBHOOKS_0_BASE_URL, …    who is told about events
  OH_DEFERRED_INIT             start dormant and wait for POST /api/init
  SANDLOT_WORKSPACE_ROOT       the folder that /workspace stands for (/workspace)
  SANDLOT_CACHE_DIR            shared by the sandboxes of a machine; VS Code is installed there (~/.cache/sandlot)
  LOG_LEVEL                    fatal, error, warn, info, debug or trace
  LOG_JSON                     lines as OpenHands' programs write them: message, severity, timestamp (false)
`;

/** Time for ending runs and sending what webhooks wait for; pods are given 30 s. */
const GRACE_MS = 20_000;

export async function main(given: NodeJS.ProcessEnv): Promise<void> {
  const env = handedOver(given);
  let config: ServerConfig | ConfigError;
  try {
    config = readServerConfig(env, process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    config = error;
  }
  const forgotten = forgetKeys(given);
  await runProgram({
    name: 'agent-server',
    graceMs: GRACE_MS,
    env,
    start: async ({ log }) => {
      if (config instanceof ConfigError) throw config;
      if (config.unknownVariables.length > 0)
        log.warn({ variables: config.unknownVariables }, 'variables that mean nothing to this server');
      if (!forgotten)
        log.info('the environment of this process cannot be changed: its commands can read the keys in it');
      const { startServer } = await import('./server.js');
      const server = await startServer({ config, log, clock: systemClock });
      log.info({ port: server.port, state: server.context.init.state }, 'listening');
      return { announce: { port: server.port }, drain: async () => undefined, close: () => server.close() };
    },
  });
}
