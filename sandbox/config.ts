/** The agent server's one reader of the environment: the OH_* variables of the OpenHands agent server, and a few of Sandlot's. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { z } from 'zod';
import { ConfigError, flag, logLevel, port, readConfig, whole } from '../process/config.js';
import { longEnough, secretValues, urlCredentials } from './masking.js';
import { cacheFolder } from './vscode/environment.js';

/** Where events go as they happen. Times in seconds. */
export const webhookSpec = z.strictObject({
  base_url: z.string().min(1),
  headers: z.record(z.string(), z.string()).default({}),
  event_buffer_size: z.number().int().min(1).default(5),
  flush_delay: z.number().positive().default(30),
  num_retries: z.number().int().min(0).default(3),
  retry_delay: z.number().min(0).default(5),
  max_queue_size: z.number().int().min(1).default(1000),
  max_batch_bytes: z.number().int().min(1).default(5_242_880),
  max_queue_bytes: z.number().int().min(1).default(52_428_800),
});
export type WebhookSpec = z.infer<typeof webhookSpec>;

const schema = z.object({
  HOST: z.string().optional(),
  PORT: port().default(8000),
  LOG_LEVEL: logLevel().default('info'),
  LOG_JSON: flag().default(false),
  OH_CONVERSATIONS_PATH: z.string().default('workspace/conversations'),
  OH_BASH_EVENTS_DIR: z.string().default('workspace/bash_events'),
  OH_PERSISTENCE_DIR: z.string().optional(),
  OH_SECRET_KEY: z.string().optional(),
  OH_WEB_URL: z.string().optional(),
  OH_MAX_CONCURRENT_RUNS: whole(1, 10_000).default(10),
  OH_DEFERRED_INIT: flag().default(false),
  OH_LEASE_TTL_SECONDS: whole(1, 3600).default(45),
  OH_ENABLE_VSCODE: flag().default(true),
  OH_VSCODE_PORT: port().default(8001),
  OH_VSCODE_BASE_PATH: z.string().optional(),
  OH_ALLOW_CORS_ORIGIN_REGEX: z.string().optional(),
  OH_RUNTIME_IDLE_TIMEOUT_SECONDS: whole(1, 31_536_000).optional(),
  OH_APP_BACKEND_PUBLIC_URL: z.string().optional(),
  /** False: no browser tools, also where there is a Chromium (tools/browser/find.ts reads it). */
  OH_ENABLE_BROWSER: flag().default(true),
  SANDLOT_WORKSPACE_ROOT: z.string().default('/workspace'),
  /** What all sandboxes of a machine and user share: the installation of VS Code. */
  SANDLOT_CACHE_DIR: z.string().optional(),
  /** The marketplace of public plugins and skills: github:owner/name, or the address of a git repository. */
  SANDLOT_EXTENSIONS: z.string().default('github:OpenHands/extensions'),
  /** Its branch, tag or commit. */
  EXTENSIONS_REF: z.string().default('main'),
});

export interface ServerConfig {
  host: string;
  port: number;
  logLevel: string;
  sessionApiKeys: string[];
  secretKey: string | null;
  conversationsPath: string;
  bashEventsDir: string;
  persistenceDir: string;
  /** What `/workspace` stands for on this machine. */
  workspaceRoot: string;
  webhooks: WebhookSpec[];
  webUrl: string | null;
  corsOrigins: string[];
  corsOriginRegex: string | null;
  maxConcurrentRuns: number;
  deferredInit: boolean;
  leaseTtlSeconds: number;
  vscode: { enabled: boolean; port: number; basePath: string | null; cache: string };
  runtimeIdleTimeoutSeconds: number | null;
  extensions: { source: string; ref: string };
  appBackendUrl: string | null;
  /** Variables that processes of the sandbox inherit: neither keys nor the server's own settings. */
  commandEnv: Record<string, string>;
  /** OH_* variables that mean nothing here; named in the log once. */
  unknownVariables: string[];
}

/** Reads the configuration; throws ConfigError with every wrong variable. */
export function readServerConfig(env: NodeJS.ProcessEnv, argv: string[] = []): ServerConfig {
  const values = readConfig(schema, withoutBlank({ ...env, ...flagsOf(argv) }));
  const keys = indexed(env, 'OH_SESSION_API_KEYS');
  const fallback = env['SESSION_API_KEY'];
  const sessionApiKeys = keys.length > 0 ? keys : fallback ? [fallback] : [];
  return {
    host: values.HOST ?? (sessionApiKeys.length > 0 || values.OH_DEFERRED_INIT ? '0.0.0.0' : '127.0.0.1'),
    port: values.PORT,
    logLevel: values.LOG_LEVEL,
    sessionApiKeys,
    secretKey: values.OH_SECRET_KEY ?? sessionApiKeys[0] ?? null,
    conversationsPath: values.OH_CONVERSATIONS_PATH,
    bashEventsDir: values.OH_BASH_EVENTS_DIR,
    persistenceDir: values.OH_PERSISTENCE_DIR ?? join(values.OH_CONVERSATIONS_PATH, '..', 'settings'),
    workspaceRoot: values.SANDLOT_WORKSPACE_ROOT,
    webhooks: readWebhooks(env),
    webUrl: values.OH_WEB_URL ?? null,
    corsOrigins: indexed(env, 'OH_ALLOW_CORS_ORIGINS'),
    corsOriginRegex: values.OH_ALLOW_CORS_ORIGIN_REGEX ?? null,
    maxConcurrentRuns: values.OH_MAX_CONCURRENT_RUNS,
    deferredInit: values.OH_DEFERRED_INIT,
    leaseTtlSeconds: values.OH_LEASE_TTL_SECONDS,
    vscode: {
      enabled: values.OH_ENABLE_VSCODE,
      port: values.OH_VSCODE_PORT,
      basePath: values.OH_VSCODE_BASE_PATH ?? null,
      cache: values.SANDLOT_CACHE_DIR ?? cacheFolder(env),
    },
    runtimeIdleTimeoutSeconds: values.OH_RUNTIME_IDLE_TIMEOUT_SECONDS ?? null,
    extensions: { source: values.SANDLOT_EXTENSIONS, ref: values.EXTENSIONS_REF },
    appBackendUrl: values.OH_APP_BACKEND_PUBLIC_URL ?? null,
    commandEnv: { ...commandEnvironment(env), [POD_MARK]: randomUUID() },
    unknownVariables: unknownOf(env),
  };
}

/** The keys that the server holds: nothing that leaves it may show them. */
export const serverKeys = (config: ServerConfig): string[] => [
  ...longEnough([...config.sessionApiKeys, config.secretKey]),
  ...config.webhooks.flatMap(({ headers, base_url }) => [...secretValues(headers), ...urlCredentials(base_url)]),
];

/** `--host H --port P`, as the program is called by hand. */
function flagsOf(argv: string[]): Record<string, string> {
  const found: Record<string, string> = {};
  for (let at = 0; at < argv.length; at++) {
    const [name, value] = (argv[at] ?? '').split('=', 2);
    const variable = name === '--host' ? 'HOST' : name === '--port' ? 'PORT' : undefined;
    const given = value ?? argv[at + 1];
    if (variable !== undefined && given !== undefined) found[variable] = given;
  }
  return found;
}

const withoutBlank = (env: NodeJS.ProcessEnv): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value.trim() !== ''));

/** `NAME_0`, `NAME_1`, … up to the first that is missing; blank ones count as missing. */
function indexed(env: NodeJS.ProcessEnv, name: string): string[] {
  const values: string[] = [];
  for (let at = 0; at < 100; at++) {
    const value = env[`${name}_${at}`];
    if (value === undefined) break;
    if (value.trim() !== '') values.push(value);
  }
  return values;
}

const WEBHOOK_FIELDS = Object.keys(webhookSpec.shape) as (keyof WebhookSpec)[];

function readWebhooks(env: NodeJS.ProcessEnv): WebhookSpec[] {
  const hooks: WebhookSpec[] = [];
  for (let at = 0; env[`OH_WEBHOOKS_${at}_BASE_URL`]; at++) {
    const raw: Record<string, unknown> = {};
    for (const field of WEBHOOK_FIELDS) {
      const text = env[`OH_WEBHOOKS_${at}_${field.toUpperCase()}`];
      if (text === undefined || text === '') continue;
      raw[field] = field === 'base_url' ? text : field === 'headers' ? jsonOf(text) : Number(text);
    }
    const parsed = webhookSpec.safeParse(raw);
    if (!parsed.success)
      throw new ConfigError(
        parsed.error.issues.map(
          (issue) => `OH_WEBHOOKS_${at}_${String(issue.path[0] ?? '').toUpperCase()}: ${issue.message}`,
        ),
      );
    hooks.push({ ...parsed.data, base_url: parsed.data.base_url.replace(/\/+$/, '') });
  }
  return hooks;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

/** In the environment of every process of this server, so that those that outlive their parents are known as ours. */
export const POD_MARK = 'SANDLOT_POD';

/** What a command must not see: the keys that open this server, and what is ours alone (an app would listen on our PORT). */
const HIDDEN = /^(OH_|SANDLOT_|SESSION_API_KEY$|PORT$|NODE_CHANNEL_|npm_|OPENHANDS_AGENT_SERVER_CONFIG_PATH$)/;
/** What commands may need to know, and what switches tools on or off. */
const KEPT = new Set(['OH_VSCODE_PORT', 'OH_ENABLE_BROWSER']);
const commandEnvironment = (env: NodeJS.ProcessEnv): Record<string, string> =>
  Object.fromEntries(
    Object.entries(env).filter(
      (entry): entry is [string, string] => entry[1] !== undefined && (!HIDDEN.test(entry[0]) || KEPT.has(entry[0])),
    ),
  );

/** OH_* variables of the original that this server needs no value of: they name features that are built differently or absent. */
const TOLERATED =
  /^OH_(SESSION_API_KEYS_|ALLOW_CORS_ORIGINS_|WEBHOOKS_|WORKSPACE_PATH|STATIC_FILES_PATH|PRELOAD_TOOLS|ENABLE_VNC|TELEMETRY|INTERNAL_SERVER_URL|BASH_EVENTS_RETENTION_SECONDS|CONVERSATION_)/;
const unknownOf = (env: NodeJS.ProcessEnv): string[] =>
  Object.keys(env).filter((name) => name.startsWith('OH_') && !(name in schema.shape) && !TOLERATED.test(name));
