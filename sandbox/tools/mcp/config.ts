/**
 * What a client says of MCP servers (`agent.mcp_config`, `POST /api/mcp/test`): the map by name of the agent server 1.58, and
 * the older `{"mcpServers": …}` around it. Pure.
 */
import { z } from 'zod';

const text = z.string().nullish();
const texts = z.record(z.string(), z.string().nullable()).nullish();

const credential = z
  .discriminatedUnion('strategy', [
    z.looseObject({ strategy: z.literal('none') }),
    z.looseObject({ strategy: z.literal('api_key'), value: text, header_name: text }),
    z.looseObject({ strategy: z.literal('bearer'), value: text }),
    z.looseObject({ strategy: z.literal('basic'), username: z.string(), password: text }),
    z.looseObject({ strategy: z.literal('header'), headers: texts }),
    z.looseObject({ strategy: z.literal('oauth2') }),
  ])
  .or(z.string())
  .nullish();

export const mcpServerSchema = z.looseObject({
  command: z.string().min(1).nullish(),
  args: z.array(z.string()).max(256).nullish(),
  env: texts,
  cwd: text,
  url: z.string().min(1).nullish(),
  transport: z.enum(['stdio', 'http', 'streamable-http', 'shttp', 'sse']).nullish(),
  type: z.enum(['stdio', 'http', 'streamable-http', 'shttp', 'sse']).nullish(),
  headers: texts,
  auth: credential,
  /** Seconds that one call may take. */
  timeout: z.number().positive().max(3600).nullish(),
  enabled: z.boolean().nullish(),
});
type Given = z.infer<typeof mcpServerSchema>;

export type McpServer = {
  name: string;
  callTimeoutMs: number;
} & (
  | { over: 'stdio'; command: string; args: string[]; env: Record<string, string>; cwd?: string }
  | { over: 'http' | 'sse'; url: string; headers: Record<string, string> }
);
export type McpProblem = { name: string; problem: string };

/** Servers that one agent may have. */
const MOST_SERVERS = 32;
const CALL_TIMEOUT_MS = 300_000;

/** The servers that are switched on, in order; those that cannot be used, with the reason. */
export function mcpServersOf(config: Record<string, unknown>): { servers: McpServer[]; problems: McpProblem[] } {
  const inner = config['mcpServers'];
  const map = typeof inner === 'object' && inner !== null ? (inner as Record<string, unknown>) : config;
  const servers: McpServer[] = [];
  const problems: McpProblem[] = [];
  for (const [index, [name, value]] of Object.entries(map).entries()) {
    const parsed = mcpServerSchema.safeParse(value);
    if (parsed.success && parsed.data.enabled === false) continue;
    const server = parsed.success ? mcpServer(name, parsed.data) : z.prettifyError(parsed.error);
    if (index >= MOST_SERVERS) problems.push({ name, problem: `at most ${MOST_SERVERS} servers are connected` });
    else if (typeof server === 'string') problems.push({ name, problem: server });
    else servers.push(server);
  }
  return { servers, problems };
}

/** One server; a text says what is wrong with it. */
export function mcpServer(name: string, given: Given): McpServer | string {
  const callTimeoutMs = given.timeout == null ? CALL_TIMEOUT_MS : given.timeout * 1000;
  if (given.url != null) {
    if (!URL.canParse(given.url) || !/^https?:$/.test(new URL(given.url).protocol))
      return 'its url must be an http or https address';
    const authorization = authHeaders(given.auth);
    if (typeof authorization === 'string') return authorization;
    const headers = { ...withoutNulls(given.headers), ...authorization };
    return { name, callTimeoutMs, over: isSse(given) ? 'sse' : 'http', url: given.url, headers };
  }
  if (given.command == null) return 'it needs a command or a url';
  const cwd = given.cwd == null ? {} : { cwd: given.cwd };
  const { command, args, env } = given;
  return { name, callTimeoutMs, over: 'stdio', command, args: args ?? [], env: withoutNulls(env), ...cwd };
}

const isSse = ({ transport, type, url }: Given): boolean =>
  (transport ?? type) === 'sse' || (transport == null && type == null && /\/sse\/?(?:\?|$)/.test(url ?? ''));

/** Values that were masked on the way are null: they are left out. */
const withoutNulls = (values: Record<string, string | null> | null | undefined): Record<string, string> =>
  Object.fromEntries(Object.entries(values ?? {}).filter((entry): entry is [string, string] => entry[1] !== null));

function authHeaders(auth: Given['auth']): Record<string, string> | string {
  if (auth == null) return {};
  if (typeof auth === 'string')
    return auth === 'oauth' ? 'signing in by OAuth is not possible here' : { Authorization: `Bearer ${auth}` };
  switch (auth.strategy) {
    case 'none':
      return {};
    case 'bearer':
      return auth.value == null ? {} : { Authorization: `Bearer ${auth.value}` };
    case 'api_key':
      if (auth.value == null) return {};
      return auth.header_name == null ? { Authorization: `Bearer ${auth.value}` } : { [auth.header_name]: auth.value };
    case 'basic':
      return {
        Authorization: `Basic ${Buffer.from(`${auth.username}:${auth.password ?? ''}`).toString('base64')}`,
      };
    case 'header':
      return withoutNulls(auth.headers);
    case 'oauth2':
      return 'signing in by OAuth is not possible here';
  }
}

/** Replaces `$NAME` and `${NAME}` (also `${NAME:-default}`) in every text inside by the secret of that name. */
export function withSecrets<T>(value: T, secrets: Readonly<Record<string, string>>): T {
  if (typeof value === 'string')
    return value.replace(
      /\$(?:\{(\w+)(?::-([^}]*))?\}|(\w+))/g,
      (whole, braced: string | undefined, fallback: string | undefined, bare: string | undefined) =>
        secrets[braced ?? bare ?? ''] ?? fallback ?? whole,
    ) as T;
  if (Array.isArray(value)) return value.map((entry: unknown) => withSecrets(entry, secrets)) as T;
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(
      Object.entries(value).map(([key, entry]) => [key, withSecrets<unknown>(entry, secrets)]),
    ) as T;
  return value;
}
