/** One exchange with an MCP client over streamable HTTP, without a session: each request stands for itself. */
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { WebStandardStreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js';
import { CallToolRequestSchema, ListToolsRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { version } from '../../process/root.js';
import { TOOLS, type Tool } from './tools.js';

/** What a tool answers: text for the model, which is told when it did not work. */
export interface ToolAnswer {
  text: string;
  failed: boolean;
}

export interface Exchange {
  /** URL, method and headers of the HTTP request. */
  request: Request;
  /** Its body as JSON. */
  body: unknown;
  /** Must not throw. */
  call(tool: Tool, args: unknown): Promise<ToolAnswer>;
}

const OUTPUT = { type: 'object' as const, properties: { result: { type: 'string' } }, required: ['result'] };

export async function answerMcp({ request, body, call }: Exchange): Promise<Response> {
  const server = new Server({ name: 'sandlot', version: version() }, { capabilities: { tools: {} } });
  server.setRequestHandler(ListToolsRequestSchema, () => ({
    tools: TOOLS.map(({ name, description, inputSchema }) => ({
      name,
      description,
      inputSchema: { ...inputSchema, type: 'object' as const },
      outputSchema: OUTPUT,
    })),
  }));
  server.setRequestHandler(CallToolRequestSchema, async ({ params }) => {
    const tool = TOOLS.find(({ name }) => name === params.name);
    const { text, failed } =
      tool === undefined
        ? { text: `There is no tool ${params.name.slice(0, 100)}.`, failed: true }
        : await call(tool, params.arguments ?? {});
    const content = [{ type: 'text' as const, text }];
    return failed ? { content, isError: true } : { content, structuredContent: { result: text } };
  });
  const transport = new WebStandardStreamableHTTPServerTransport({ enableJsonResponse: true });
  await server.connect(transport);
  try {
    return await transport.handleRequest(request, { parsedBody: body });
  } finally {
    await server.close();
  }
}
