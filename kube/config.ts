/**
 * Where the API server is and who we are. Kubeconfigs with a token, client certificate or password and the in-cluster
 * service account are read here, because importing @kubernetes/client-node takes half a second or more at every start.
 * Everything with a helper program or an identity provider (exec, auth-provider) goes through client-node.
 */
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';

export interface TlsMaterial {
  ca?: string | Buffer;
  cert?: string | Buffer;
  key?: string | Buffer;
  servername?: string;
  rejectUnauthorized?: boolean;
}

export interface Credentials {
  headers: Record<string, string>;
  tls: TlsMaterial;
}

export interface KubeConfig {
  /** Base URL; may have a path. */
  server: string;
  /** The namespace of the context or of the service account. */
  namespace?: string;
  /** `http(s)://` proxy of the cluster entry. */
  proxyUrl?: string;
  /** Cached; tokens and certificates on disk are read again every minute, and at once with `refresh` (after a 401). */
  credentials(refresh?: boolean): Promise<Credentials>;
}

/** The kubeconfig is missing, unreadable or wrong. Never quotes its content. */
export class KubeConfigError extends Error {
  override readonly name = 'KubeConfigError';
}

const text = z.string().min(1);
const clusterSchema = z.looseObject({
  server: z.url({ protocol: /^https?$/ }),
  'certificate-authority': text.optional(),
  'certificate-authority-data': text.optional(),
  'insecure-skip-tls-verify': z.boolean().optional(),
  'tls-server-name': text.optional(),
  'proxy-url': z.url({ protocol: /^https?$/ }).optional(),
});
const userSchema = z.looseObject({
  token: text.optional(),
  tokenFile: text.optional(),
  'client-certificate': text.optional(),
  'client-certificate-data': text.optional(),
  'client-key': text.optional(),
  'client-key-data': text.optional(),
  username: text.optional(),
  password: text.optional(),
  exec: z.looseObject({ command: text }).nullish(),
  'auth-provider': z.looseObject({}).nullish(),
});
const contextSchema = z.looseObject({ cluster: text, user: z.string().optional(), namespace: text.optional() });
const fileSchema = z.looseObject({
  'current-context': z.string().optional(),
  clusters: z.array(z.looseObject({ name: text, cluster: clusterSchema })).nullish(),
  users: z.array(z.looseObject({ name: text, user: userSchema.nullish() })).nullish(),
  contexts: z.array(z.looseObject({ name: text, context: contextSchema })).nullish(),
});
type Cluster = z.infer<typeof clusterSchema>;
type User = z.infer<typeof userSchema>;

const REREAD_MS = 60_000;
const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new KubeConfigError(`cannot read ${file}: ${(cause as NodeJS.ErrnoException).code ?? 'unknown'}`, { cause });
  }
}

/** File names are relative to the kubeconfig that names them. */
function absolute<T extends Record<string, unknown>>(entry: T, folder: string, fields: string[]): T {
  const changed: Record<string, unknown> = {};
  for (const field of fields) {
    const value = entry[field];
    if (typeof value === 'string') changed[field] = resolve(folder, value);
  }
  return { ...entry, ...changed };
}

function absoluteUser(user: User, folder: string): User {
  const files = absolute(user, folder, ['client-certificate', 'client-key', 'tokenFile']);
  const command = user.exec?.command;
  // As kubectl: a command with a slash is relative to the file, a bare one is looked up in PATH.
  return command?.includes('/') ? { ...files, exec: { ...user.exec, command: resolve(folder, command) } } : files;
}

function parseFile(file: string) {
  let raw: unknown;
  try {
    raw = parse(readText(file));
  } catch (cause) {
    if (cause instanceof KubeConfigError) throw cause;
    throw new KubeConfigError(`${file} is not YAML`);
  }
  const result = fileSchema.safeParse(raw);
  if (!result.success) {
    const places = result.error.issues.slice(0, 3).map((issue) => issue.path.join('.') || 'document');
    throw new KubeConfigError(`${file} is not a kubeconfig: see ${places.join(', ')}`);
  }
  const folder = dirname(resolve(file));
  return {
    current: result.data['current-context'] || undefined,
    contexts: (result.data.contexts ?? []).map(({ name, context }) => ({ name, context })),
    clusters: (result.data.clusters ?? []).map(({ name, cluster }) => ({
      name,
      cluster: absolute(cluster, folder, ['certificate-authority']),
    })),
    users: (result.data.users ?? []).map(({ name, user }) => ({ name, user: absoluteUser(user ?? {}, folder) })),
  };
}

/** Several files merge as kubectl does it: the first that says something about a name wins. */
function fromFiles(files: string[]): KubeConfig {
  const parsed = files.map(parseFile);
  const current = parsed.find((file) => file.current !== undefined)?.current;
  const context = parsed.flatMap((file) => file.contexts).find(({ name }) => name === current)?.context;
  const cluster = parsed.flatMap((file) => file.clusters).find(({ name }) => name === context?.cluster)?.cluster;
  if (context === undefined || cluster === undefined) {
    throw new KubeConfigError(`${files.join(delimiter)}: the current context names no known cluster`);
  }
  const user = parsed.flatMap((file) => file.users).find(({ name }) => name === context.user)?.user ?? {};
  const read =
    user.exec == null && user['auth-provider'] == null
      ? () => Promise.resolve(simpleCredentials(cluster, user))
      : () => foreignCredentials(cluster, user);
  return build(cluster, context.namespace, read);
}

const decode = (data: string | undefined, file: string | undefined): Buffer | undefined =>
  data !== undefined ? Buffer.from(data, 'base64') : file !== undefined ? Buffer.from(readText(file)) : undefined;

const defined = <T extends object>(value: T): T =>
  Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined)) as T;

function simpleCredentials(cluster: Cluster, user: User): Credentials {
  const token = user.tokenFile !== undefined ? readText(user.tokenFile).trim() : user.token;
  const basic = user.username === undefined ? undefined : Buffer.from(`${user.username}:${user.password ?? ''}`);
  const authorization = token !== undefined ? `Bearer ${token}` : basic && `Basic ${basic.toString('base64')}`;
  return {
    headers: authorization === undefined ? {} : { authorization },
    tls: defined({
      ca: decode(cluster['certificate-authority-data'], cluster['certificate-authority']),
      cert: decode(user['client-certificate-data'], user['client-certificate']),
      key: decode(user['client-key-data'], user['client-key']),
      servername: cluster['tls-server-name'],
      rejectUnauthorized: cluster['insecure-skip-tls-verify'] === true ? false : undefined,
    }) as TlsMaterial,
  };
}

/** exec plug-ins, OIDC and cloud providers: client-node knows them. Its agent is thrown away, only headers and TLS are taken. */
async function foreignCredentials(cluster: Cluster, user: User): Promise<Credentials> {
  const { KubeConfig: Foreign } = await import('@kubernetes/client-node');
  const config = new Foreign();
  const name = 'current';
  config.loadFromString(
    JSON.stringify({
      clusters: [{ name, cluster }],
      users: [{ name, user }],
      contexts: [{ name, context: { cluster: name, user: name } }],
      'current-context': name,
    }),
  );
  const options: Record<string, unknown> = {};
  await config.applyToHTTPSOptions(options);
  const { headers, ca, cert, key, servername, rejectUnauthorized } = options;
  return {
    headers: Object.fromEntries(
      Object.entries((headers ?? {}) as Record<string, unknown>).map(([field, value]) => [
        field.toLowerCase(),
        String(value),
      ]),
    ),
    tls: defined({ ca, cert, key, servername, rejectUnauthorized }) as TlsMaterial,
  };
}

function build(cluster: Cluster, namespace: string | undefined, read: () => Promise<Credentials>): KubeConfig {
  let cached: { at: number; value: Promise<Credentials> } | undefined;
  return {
    server: cluster.server.replace(/\/+$/, ''),
    ...(namespace === undefined ? {} : { namespace }),
    ...(cluster['proxy-url'] === undefined ? {} : { proxyUrl: cluster['proxy-url'] }),
    async credentials(refresh = false) {
      if (cached === undefined || refresh || performance.now() - cached.at > REREAD_MS) {
        cached = { at: performance.now(), value: read() };
      }
      const mine = cached;
      try {
        return await mine.value;
      } catch (error) {
        if (cached === mine) cached = undefined;
        throw error;
      }
    },
  };
}

function inCluster(host: string, port: string, folder: string): KubeConfig {
  const namespace = join(folder, 'namespace');
  const cluster: Cluster = {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    'certificate-authority': join(folder, 'ca.crt'),
  };
  const user: User = { tokenFile: join(folder, 'token') };
  return build(cluster, existsSync(namespace) ? readText(namespace).trim() : undefined, () =>
    Promise.resolve(simpleCredentials(cluster, user)),
  );
}

/**
 * As kubectl looks: KUBECONFIG (one or more files), the service account of the pod we run in, `~/.kube/config`.
 * @throws KubeConfigError
 */
export function loadKubeConfig(env: NodeJS.ProcessEnv, serviceAccount = SERVICE_ACCOUNT): KubeConfig {
  const named = env['KUBECONFIG']?.split(delimiter).filter((file) => file !== '') ?? [];
  if (named.length > 0) {
    const files = named.filter((file) => named.length === 1 || existsSync(file));
    if (files.length === 0) throw new KubeConfigError(`KUBECONFIG: none of ${named.join(delimiter)} exists`);
    return fromFiles(files);
  }
  const host = env['KUBERNETES_SERVICE_HOST'];
  if (host && existsSync(join(serviceAccount, 'token')))
    return inCluster(host, env['KUBERNETES_SERVICE_PORT'] ?? '443', serviceAccount);
  const home = join(env['HOME'] ?? homedir(), '.kube', 'config');
  if (existsSync(home)) return fromFiles([home]);
  throw new KubeConfigError('no cluster: set KUBECONFIG, or run inside a cluster with a service account');
}

/** A configuration from parts, for programs that know their server (tests, the one that started the server itself). */
export function kubeConfigOf(options: {
  server: string;
  token?: string;
  tls?: TlsMaterial;
  namespace?: string;
}): KubeConfig {
  const credentials: Credentials = {
    headers: options.token === undefined ? {} : { authorization: `Bearer ${options.token}` },
    tls: options.tls ?? {},
  };
  return build({ server: options.server }, options.namespace, () => Promise.resolve(credentials));
}
