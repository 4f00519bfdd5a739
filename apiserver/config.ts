/** The API server's one reader of the environment. */
import { z } from 'zod';
import { ARCHIVE_URL, type ArchiveSettings } from './archive/store.js';
import type { GatewayAddress } from '../contracts/urls.js';
import { isGitHost, type GitHosts } from './git/reach.js';
import type { Keys } from './db/box.js';
import type { Limits } from './start/admit.js';
import {
  ConfigError,
  list,
  flag,
  logLevel,
  numbersByName,
  origins,
  port,
  readConfig,
  secret,
  secrets as secretList,
  url,
  whole,
} from '../process/config.js';
import { identityOf, identityShape, type IdentitySettings } from './identity/settings.js';
import { DEFAULT_LIMITS, type QuotaLimits } from './ingest/quota.js';
import { rateShape, ratesOf, type RateSettings } from './rates/settings.js';

const PAIR = /^[^=\s]+=[a-z0-9.-]*$/;
const MIB = 1024 ** 2;

const schema = z.object({
  SANDLOT_SECRET: secret(),
  /** Earlier values of SANDLOT_SECRET, newest first: what they sealed can still be read. */
  SANDLOT_SECRET_OLD: secretList().default([]),
  /** Keys that seal stored secrets instead of SANDLOT_SECRET: the first seals, the others still open. */
  SANDLOT_DATA_KEYS: secretList().default([]),
  SANDLOT_NAMESPACE: z.string().default('default'),
  SANDLOT_HOST: z.string().default('127.0.0.1'),
  SANDLOT_PORT: port().default(3000),
  /** Where sandboxes call; without it they call the users' port. */
  SANDLOT_WEBHOOK_PORT: port().optional(),
  SANDLOT_WEBHOOK_HOST: z.string().default('0.0.0.0'),
  /** Base under which sandboxes reach this server; without it agents get none of its tools. */
  SANDLOT_API_URL: url().optional(),
  SANDLOT_HEALTH_PORT: port().default(0),
  SANDLOT_HEALTH_HOST: z.string().default('127.0.0.1'),
  DATABASE_URL: z
    .string()
    .regex(/^(pglite:.|postgres(ql)?:\/\/)/, 'must be pglite:<folder> or postgresql://…')
    .default('pglite:.sandlot/database'),
  SANDLOT_DATABASE_CONNECTIONS: whole(1, 200).default(10),
  SANDLOT_GATEWAY_DOMAIN: z.string().default('sandbox.localhost:3001'),
  SANDLOT_GATEWAY_PROTOCOL: z.enum(['http', 'https']).default('http'),
  SANDLOT_GATEWAY_FORM: z.enum(['host', 'sibling', 'path']).default('host'),
  ...identityShape,
  ...rateShape,
  /** Origins of other frontends that may call this server with a key: https://canvas.example.com */
  SANDLOT_UI_ORIGINS: origins().default([]),
  /** SandboxTemplate of new sandboxes; without it the operator's built-in shape. */
  SANDLOT_SANDBOX_TEMPLATE: z.string().optional(),
  /** How long a start waits for its sandbox; image pulls included. */
  SANDLOT_START_TIMEOUT_SECONDS: whole(10, 3600).default(300),
  /** `sysbox-runc=kata,gvisor=`: RuntimeClass of the cluster by what callers of the Runtime API name. */
  SANDLOT_RUNTIME_CLASSES: list()
    .refine((pairs) => pairs.every((pair) => PAIR.test(pair)), 'must be name=RuntimeClass, …')
    .default([]),
  /** `ghcr.io/openhands`: where images of the Runtime API's callers come from. */
  SANDLOT_RUNTIME_REGISTRY: z
    .string()
    .regex(/^[a-z0-9.-]+(:[0-9]{1,5})?(\/[a-z0-9._-]+)*$/i, 'must be host[:port]/path')
    .optional(),
  /** Stored history at most: of a conversation, and of all conversations of a user. */
  SANDLOT_CONVERSATION_EVENTS: whole(100, 100_000_000).default(DEFAULT_LIMITS.conversationEvents),
  SANDLOT_CONVERSATION_MIB: whole(1, 1_000_000).default(DEFAULT_LIMITS.conversationBytes / MIB),
  SANDLOT_USER_MIB: whole(1, 100_000_000).default(DEFAULT_LIMITS.userBytes / MIB),
  /** The operator's limits, so that a start over one is refused before anything is made. */
  SANDLOT_MAX_RUNNING_PER_OWNER: whole(0, 1_000_000).default(0),
  SANDLOT_MAX_RUNNING_OF_OWNERS: numbersByName().default(new Map()),
  SANDLOT_OVER_OWNER_LIMIT: z.enum(['Refuse', 'PauseLeastActive']).default('Refuse'),
  /** Where deleted conversations are kept for some days; without it they are not. */
  SANDLOT_ARCHIVE: z
    .string()
    .regex(ARCHIVE_URL, 'must be file:///folder, s3://bucket[/prefix] or azure://container[/prefix]')
    .optional(),
  SANDLOT_ARCHIVE_DAYS: whole(1, 36_500).default(30),
  SANDLOT_ARCHIVE_ENDPOINT: url().optional(),
  SANDLOT_ARCHIVE_REGION: z.string().max(100).optional(),
  SANDLOT_ARCHIVE_AZURE_CONNECTION_STRING: z.string().max(10_000).optional(),
  /** Git providers inside the network that users may name: git.example.com, *.example.com, 10.20.0.0/16. Public ones always. */
  SANDLOT_GIT_HOSTS: list()
    .refine(
      (entries) => entries.every(isGitHost),
      'must be names, *.names, addresses or ranges: git.example.com, 10.0.0.0/8',
    )
    .default([]),
  LOG_LEVEL: logLevel().default('info'),
  LOG_JSON: flag().default(false),
});

export interface ApiConfig {
  /** The installation's secret and those before it. */
  secrets: Keys;
  /** Keys of what is stored sealed: the first seals. */
  dataKeys: Keys;
  namespace: string;
  host: string;
  port: number;
  /** A port of its own for what sandboxes call. */
  webhooks?: { host: string; port: number };
  /** How sandboxes reach it, without trailing slash. */
  apiUrl?: string | undefined;
  health: { host: string; port: number };
  databaseUrl: string;
  databaseConnections: number;
  gateway: GatewayAddress;
  identity: IdentitySettings;
  uiOrigins: readonly string[];
  rates: RateSettings;
  gitHosts: GitHosts;
  template: string | undefined;
  startTimeoutMs: number;
  limits: Limits;
  runtimeClasses: Readonly<Record<string, string>>;
  runtimeRegistry: string | undefined;
  quota: QuotaLimits;
  archive: ArchiveSettings | undefined;
  logLevel: string;
}

/** Throws ConfigError. */
export function readApiConfig(env: NodeJS.ProcessEnv): ApiConfig {
  const read = readConfig(schema, env);
  const identity = identityOf(read, read.SANDLOT_HOST);
  if (Array.isArray(identity)) throw new ConfigError(identity);
  const secrets: Keys = [read.SANDLOT_SECRET, ...read.SANDLOT_SECRET_OLD];
  return {
    secrets,
    dataKeys: [...read.SANDLOT_DATA_KEYS, ...secrets] as unknown as Keys,
    namespace: read.SANDLOT_NAMESPACE,
    host: read.SANDLOT_HOST,
    port: read.SANDLOT_PORT,
    ...(read.SANDLOT_WEBHOOK_PORT === undefined
      ? {}
      : { webhooks: { host: read.SANDLOT_WEBHOOK_HOST, port: read.SANDLOT_WEBHOOK_PORT } }),
    apiUrl: read.SANDLOT_API_URL,
    health: { host: read.SANDLOT_HEALTH_HOST, port: read.SANDLOT_HEALTH_PORT },
    databaseUrl: read.DATABASE_URL,
    databaseConnections: read.SANDLOT_DATABASE_CONNECTIONS,
    gateway: {
      form: read.SANDLOT_GATEWAY_FORM,
      protocol: read.SANDLOT_GATEWAY_PROTOCOL,
      domain: read.SANDLOT_GATEWAY_DOMAIN,
    },
    identity,
    uiOrigins: read.SANDLOT_UI_ORIGINS,
    rates: ratesOf(read, identity.mode),
    // The one user of single-user mode is also who runs the machine.
    gitHosts: identity.mode === 'single-user' ? 'any' : read.SANDLOT_GIT_HOSTS,
    template: read.SANDLOT_SANDBOX_TEMPLATE,
    startTimeoutMs: read.SANDLOT_START_TIMEOUT_SECONDS * 1000,
    limits: {
      perOwner: read.SANDLOT_MAX_RUNNING_PER_OWNER,
      ofOwners: read.SANDLOT_MAX_RUNNING_OF_OWNERS,
      overOwnerLimit: read.SANDLOT_OVER_OWNER_LIMIT,
    },
    runtimeClasses: Object.fromEntries(read.SANDLOT_RUNTIME_CLASSES.map((pair) => pair.split('=') as [string, string])),
    runtimeRegistry: read.SANDLOT_RUNTIME_REGISTRY,
    quota: {
      conversationEvents: read.SANDLOT_CONVERSATION_EVENTS,
      conversationBytes: read.SANDLOT_CONVERSATION_MIB * MIB,
      userBytes: read.SANDLOT_USER_MIB * MIB,
    },
    archive: archiveFrom(read),
    logLevel: read.LOG_LEVEL,
  };
}

const DAY_MS = 24 * 3_600_000;

/** Throws ConfigError. */
function archiveFrom(read: z.infer<typeof schema>): ArchiveSettings | undefined {
  const { SANDLOT_ARCHIVE: address, SANDLOT_ARCHIVE_AZURE_CONNECTION_STRING: connectionString } = read;
  if (address === undefined) return undefined;
  if (address.startsWith('azure:') && connectionString === undefined)
    throw new ConfigError(['SANDLOT_ARCHIVE_AZURE_CONNECTION_STRING: must be set for azure://']);
  return {
    url: address,
    keepMs: read.SANDLOT_ARCHIVE_DAYS * DAY_MS,
    endpoint: read.SANDLOT_ARCHIVE_ENDPOINT,
    region: read.SANDLOT_ARCHIVE_REGION,
    connectionString,
  };
}
