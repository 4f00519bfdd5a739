/** A real MCP server by the official SDK, over stdio (run as a program) or streamable HTTP, for the suites. */
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import { z } from 'zod';

const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
const words = (said: string) => ({ content: [{ type: 'text' as const, text: said }] });

export function makeServer(): McpServer {
  const server = new McpServer({ name: 'suite', version: '1' });
  server.registerTool(
    'create_issue',
    {
      description: 'Makes an issue.',
      inputSchema: { summary: z.string(), points: z.number().int().optional() },
      annotations: { title: 'Create issue' },
    },
    ({ summary, points }) =>
      words(`made: ${summary} (${points ?? 'no'} points, token ${process.env['SUITE_TOKEN'] ?? 'none'})`),
  );
  server.registerTool('picture', { description: 'A picture.' }, () => ({
    content: [{ type: 'image' as const, data: PIXEL, mimeType: 'image/png' }],
  }));
  server.registerTool('fails', { description: 'Fails.' }, () => ({ ...words('no such issue'), isError: true }));
  server.registerTool('dies', { description: 'Ends its server.' }, () => process.exit(3));
  server.registerTool('learn', { description: 'Adds a tool.' }, () => {
    server.registerTool('learnt', { description: 'New.' }, () => words('learnt it'));
    return words('ok');
  });
  server.registerTool('wait', { description: 'Never answers.' }, () => new Promise<never>(() => undefined));
  return server;
}

/** Over streamable HTTP, for clients that send `authorization`. */
export async function startHttp(authorization: string): Promise<{ url: string; close(): Promise<void> }> {
  const sessions = new Map<string, StreamableHTTPServerTransport>();
  const http = createServer((request, response) => {
    void (async () => {
      if (request.headers.authorization !== authorization) return response.writeHead(401).end('who are you');
      const known = sessions.get(String(request.headers['mcp-session-id']));
      if (known !== undefined) return known.handleRequest(request, response);
      const transport = new StreamableHTTPServerTransport({
        sessionIdGenerator: () => randomUUID(),
        onsessioninitialized: (id) => void sessions.set(id, transport),
      });
      await makeServer().connect(transport as unknown as Transport);
      return transport.handleRequest(request, response);
    })();
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}/mcp`,
    close: async () => {
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await makeServer().connect(new StdioServerTransport());
