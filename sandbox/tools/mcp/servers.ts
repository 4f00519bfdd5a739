/** The MCP servers of one conversation: connected before the first step, their tools kept in the agent's map. */
import type { Logger } from '../../../process/log.js';
import type { Tool } from '../tool.js';
import { mcpServersOf, withSecrets, type McpProblem, type McpServer } from './config.js';
import { connectMcp, reasonOf, type ListedTool, type McpConnection } from './connect.js';
import { mcpTool } from './tool.js';

export interface McpOptions {
  config: Record<string, unknown>;
  cwd: string;
  environment(): Record<string, string>;
  secretsFor(text: string): Promise<Record<string, string>>;
  /** Whether the agent wants the tool of that name. */
  wanted(name: string): boolean;
  /** Whether other servers are connected already: then tools are called by their server's name, too. */
  others?: boolean;
  log: Logger;
}

export interface McpServers {
  /** Servers that are not there, and why, for the system prompt and the log. */
  readonly problems: readonly McpProblem[];
  /** When new tools that servers announced so far are in the map. */
  settled(): Promise<void>;
  close(): Promise<void>;
}

const CONNECT_MS = 30_000;
/** Of a server that says at each reading that its tools are others now. */
const MOST_REREADS = 5;

/**
 * Connects all servers at once, within half a minute, and puts their tools into `tools`. A server that fails is left
 * out and named in `problems`: the work goes on without it.
 */
export async function openMcpServers(tools: Map<string, Tool>, options: McpOptions): Promise<McpServers> {
  const { servers, problems } = mcpServersOf(options.config);
  const opened = await Promise.all(
    servers.map(async (server) => {
      const one = createServer(server, {
        tools,
        options,
        prefix: servers.length > 1 || options.others === true ? `${server.name}_` : '',
      });
      try {
        await one.refresh();
      } catch (error) {
        problems.push({ name: server.name, problem: withoutValues(server, reasonOf(error)) });
      }
      return one;
    }),
  );
  // The reasons may repeat what a server's program printed: only names are logged.
  if (problems.length > 0)
    options.log.warn({ servers: problems.map(({ name }) => name) }, 'MCP servers that cannot be used are left out');
  return {
    problems,
    settled: async () => void (await Promise.all(opened.map((one) => one.settled()))),
    close: async () => void (await Promise.allSettled(opened.map((one) => one.close()))),
  };
}

function createServer(
  given: McpServer,
  { tools, options, prefix }: { tools: Map<string, Tool>; options: McpOptions; prefix: string },
) {
  let connection: McpConnection | undefined;
  let connecting: Promise<McpConnection> | undefined;
  let own: string[] = [];
  let closed = false;
  /** Reading of announced tools; `stale` when the server announced others meanwhile. One at a time, whatever it sends. */
  let rereading: Promise<void> | undefined;
  let stale = false;

  function announced(): void {
    stale = true;
    rereading ??= reread().finally(() => (rereading = undefined));
  }
  async function reread(): Promise<void> {
    for (let round = 0; stale && !closed && round < MOST_REREADS; round++) {
      stale = false;
      await refresh().catch((error: unknown) =>
        options.log.warn({ server: given.name, error: reasonOf(error) }, 'an MCP server did not tell its new tools'),
      );
    }
  }

  async function open(): Promise<McpConnection> {
    const server = withSecrets(given, await options.secretsFor(JSON.stringify(given)));
    const made = await connectMcp(server, {
      cwd: options.cwd,
      env: options.environment(),
      signal: AbortSignal.timeout(CONNECT_MS),
      onChange: announced,
    });
    if (closed) {
      await made.close();
      throw new Error('the conversation was closed');
    }
    return made;
  }

  /** The living connection; a lost one is made anew, once for all who wait. */
  async function live(): Promise<McpConnection> {
    if (connection?.alive() === true) return connection;
    connecting ??= open().finally(() => (connecting = undefined));
    return (connection = await connecting);
  }

  function place(listed: ListedTool[]): void {
    for (const name of own) tools.delete(name);
    own = [];
    for (const each of listed) {
      const name = modelName(prefix + each.name);
      if (tools.has(name) || !options.wanted(name)) continue;
      tools.set(
        name,
        mcpTool(name, each, {
          call: async (tool, args, signal) => (await live()).call(tool, args, { signal }),
          secretsFor: (words) => options.secretsFor(words),
        }),
      );
      own.push(name);
    }
  }

  async function refresh(): Promise<void> {
    place(await (await live()).list({ signal: AbortSignal.timeout(CONNECT_MS) }));
  }
  return {
    refresh,
    settled: async () => await rereading,
    close: async () => {
      closed = true;
      await connection?.close();
    },
  };
}

/** Programs like to print the token that was refused. */
const withoutValues = (server: McpServer, reason: string): string =>
  Object.values(server.over === 'stdio' ? server.env : server.headers)
    .filter((value) => value.length >= 4)
    .reduce((said, value) => said.replaceAll(value, '**********'), reason);

/** Providers refuse other characters and longer names. */
const modelName = (name: string): string => name.replace(/[^\w-]/g, '_').slice(0, 64);
