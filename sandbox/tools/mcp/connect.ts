/** One connection to an MCP server, by the official SDK. Everything that a server says is bounded and not trusted. */
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport, StreamableHTTPError } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import type { CallToolResult, Tool as ListedTool } from '@modelcontextprotocol/sdk/types.js';
import type { McpServer } from './config.js';

export type { CallToolResult, ListedTool };

export interface McpConnection {
  /** The server's tools; at most `MOST_TOOLS`. */
  list(options: { signal: AbortSignal }): Promise<ListedTool[]>;
  call(name: string, args: Record<string, unknown>, options: { signal: AbortSignal }): Promise<CallToolResult>;
  /** False when the server has ended, or hung up. */
  alive(): boolean;
  close(): Promise<void>;
}

export interface ConnectOptions {
  /** Where programs of servers start, and their variables. */
  cwd: string;
  env: Record<string, string>;
  signal: AbortSignal;
  /** The server says that its tools are others now. */
  onChange?: () => void;
}

const MOST_TOOLS = 256;
/** Of what a program writes beside the protocol: the end of it tells why it failed. */
const STDERR_KEPT = 2000;

/** Rejects with an Error that a person understands; nothing is left running then. */
export async function connectMcp(server: McpServer, options: ConnectOptions): Promise<McpConnection> {
  const transport = transportOf(server, options);
  const said = stderrOf(transport);
  let alive = true;
  const client = new Client(
    { name: 'sandlot', version: '1.0.0' },
    { listChanged: { tools: { autoRefresh: false, debounceMs: 0, onChanged: () => options.onChange?.() } } },
  );
  client.onclose = () => (alive = false);
  try {
    await client.connect(transport, { signal: options.signal });
  } catch (error) {
    await client.close().catch(() => undefined);
    throw new Error(`${reasonOf(error)}${said()}`, { cause: error });
  }
  return {
    alive: () => alive,
    list: ({ signal }) => listAll(client, signal),
    call: async (name, args, { signal }) =>
      (await client.callTool({ name, arguments: args }, undefined, {
        signal,
        timeout: server.callTimeoutMs,
        maxTotalTimeout: server.callTimeoutMs,
      })) as CallToolResult,
    close: () => client.close(),
  };
}

function transportOf(server: McpServer, { cwd, env }: ConnectOptions): Transport {
  if (server.over === 'stdio')
    return new StdioClientTransport({
      command: server.command,
      args: server.args,
      cwd: server.cwd ?? cwd,
      env: { ...env, ...server.env },
      stderr: 'pipe',
    });
  const init = { requestInit: { headers: server.headers } };
  const url = new URL(server.url);
  // The SDK's classes are written without exactOptionalPropertyTypes.
  return (server.over === 'sse'
    ? new SSEClientTransport(url, init)
    : new StreamableHTTPClientTransport(url, init)) as unknown as Transport;
}

function stderrOf(transport: Transport): () => string {
  if (!(transport instanceof StdioClientTransport)) return () => '';
  let kept = '';
  transport.stderr?.on('data', (chunk: Buffer) => (kept = (kept + chunk.toString('utf8')).slice(-STDERR_KEPT)));
  return () => (kept.trim() === '' ? '' : `; it said: ${kept.trim()}`);
}

async function listAll(client: Client, signal: AbortSignal): Promise<ListedTool[]> {
  const tools: ListedTool[] = [];
  let cursor: string | undefined;
  do {
    const page = await client.listTools(cursor === undefined ? {} : { cursor }, { signal });
    tools.push(...page.tools);
    cursor = page.tools.length === 0 ? undefined : page.nextCursor;
  } while (cursor !== undefined && tools.length < MOST_TOOLS);
  return tools.slice(0, MOST_TOOLS);
}

/** The innermost reason: fetch hides it behind "fetch failed". */
export function reasonOf(error: unknown): string {
  let at = error;
  while (at instanceof Error && at.cause instanceof Error) at = at.cause;
  const status = at instanceof StreamableHTTPError && at.code !== undefined && at.code > 0 ? `HTTP ${at.code}: ` : '';
  return status + (at instanceof Error ? at.message : String(at));
}
