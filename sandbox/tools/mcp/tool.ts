/** A tool of an MCP server as the agent sees it. Names of fields are those of the agent server 1.58. Pure but for `run`. */
import { z } from 'zod';
import { image, text, type Action, type Content, type Observation, type Tool } from '../tool.js';
import { withSecrets } from './config.js';
import type { CallToolResult, ListedTool } from './connect.js';

export interface McpToolContext {
  call(name: string, args: Record<string, unknown>, signal: AbortSignal): Promise<CallToolResult>;
  /** Secrets that a text names, as variables. */
  secretsFor(text: string): Promise<Record<string, string>>;
}

/** Characters of a result that are kept; the middle goes. */
const TEXT_LIMIT = 30_000;
/** Base64 characters of one picture. */
const IMAGE_LIMIT = 8_000_000;
const DESCRIPTION_LIMIT = 16_000;

/** `name` is what the model calls: with the server's name before it when there are several servers. */
export function mcpTool(name: string, listed: ListedTool, context: McpToolContext): Tool {
  const { annotations } = listed;
  return {
    name,
    kind: 'MCPToolDefinition',
    actionKind: 'MCPToolAction',
    observationKind: 'MCPToolObservation',
    description: (listed.description ?? '').slice(0, DESCRIPTION_LIMIT),
    annotations: {
      title: annotations?.title ?? listed.title ?? name,
      readOnlyHint: annotations?.readOnlyHint ?? false,
      destructiveHint: annotations?.destructiveHint ?? true,
      idempotentHint: annotations?.idempotentHint ?? false,
      openWorldHint: annotations?.openWorldHint ?? true,
    },
    schema: schemaOf(listed.inputSchema),
    parameters: listed.inputSchema,
    toAction: (args) => ({ data: withoutNulls(args), kind: 'MCPToolAction' }),
    dump: { mcp_tool: listed },
    run: (action, { signal }) => run(name, listed, { action, signal, context }),
  };
}

/** As far as zod knows the schema; what it does not know is left to the server. */
function schemaOf(inputSchema: ListedTool['inputSchema']): z.ZodObject {
  try {
    const schema = z.fromJSONSchema(inputSchema as z.core.JSONSchema.JSONSchema);
    if (schema instanceof z.ZodObject) return schema;
  } catch {
    // A schema with references or the like.
  }
  return z.looseObject({});
}

/** Models write null for what they leave out; servers want it left out. */
const withoutNulls = (args: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(args).filter(([, value]) => value !== null));

async function run(
  name: string,
  listed: ListedTool,
  { action, signal, context }: { action: Action; signal: AbortSignal; context: McpToolContext },
): Promise<Observation> {
  const given = (action['data'] ?? {}) as Record<string, unknown>;
  const args = withSecrets(given, await context.secretsFor(JSON.stringify(given)));
  try {
    return observationOf(name, await context.call(listed.name, args, signal));
  } catch (error) {
    if (signal.aborted) throw error;
    const why = error instanceof Error ? error.message : String(error);
    return observation(name, [text(`Error calling MCP tool ${name}: ${shorten(why)}`)], true);
  }
}

const observation = (name: string, content: Content[], isError: boolean): Observation => ({
  content,
  is_error: isError,
  tool_name: name,
  kind: 'MCPToolObservation',
});

export function observationOf(name: string, result: CallToolResult): Observation {
  const content = result.content.flatMap((block): Content[] => {
    if (block.type === 'text') return [text(shorten(block.text))];
    if (block.type === 'image' && block.data.length <= IMAGE_LIMIT && /^image\/[\w.+-]+$/.test(block.mimeType))
      return [image(`data:${block.mimeType};base64,${block.data}`)];
    if (block.type === 'resource' && 'text' in block.resource) return [text(shorten(block.resource.text))];
    if (block.type === 'resource_link') return [text(`${block.name}: ${block.uri}`)];
    return [text(`[A part of kind ${block.type} is left out.]`)];
  });
  return observation(name, [text(`[Tool '${name}' executed.]`), ...content], result.isError === true);
}

function shorten(value: string): string {
  if (value.length <= TEXT_LIMIT) return value;
  const half = TEXT_LIMIT / 2;
  return `${value.slice(0, half)}\n[… ${value.length - TEXT_LIMIT} characters left out …]\n${value.slice(-half)}`;
}
