/** Secrets of a conversation: values given or looked up, handed to commands that name them, hidden in all output. */
import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { z } from 'zod';
import type { Secrets } from '../seam.js';
import { valueError } from '../http/validate.js';
import { pythonList } from './agent.js';
import { createStreamMask, maskValues } from '../masking.js';

export interface StaticSecret {
  kind: 'StaticSecret';
  description: string | null;
  value: string | null;
}
export interface LookupSecret {
  kind: 'LookupSecret';
  description: string | null;
  url: string;
  headers: Record<string, string>;
}
export type SecretSource = StaticSecret | LookupSecret;

const KINDS = ['LookupSecret', 'StaticSecret'];

/** A secret of a client: a plain text, or an object with its kind. */
export const secretSchema = z
  .union([z.string(), z.looseObject({})])
  .superRefine((given, context) => {
    if (typeof given === 'string') return;
    const kind = given['kind'] ?? ('url' in given ? 'LookupSecret' : 'StaticSecret');
    if (!KINDS.includes(String(kind)))
      context.addIssue({
        code: 'custom',
        ...valueError(
          `Unknown kind '${String(kind)}' for openhands.sdk.secret.secrets.SecretSource; Expected one of: ${pythonList(KINDS)}`,
        ),
      });
    else if (kind === 'LookupSecret' && typeof given['url'] !== 'string')
      context.addIssue({
        code: 'custom',
        path: ['url'],
        message: 'Field required',
        params: { pydantic: { type: 'missing', msg: 'Field required' } },
      });
  })
  .transform((given): SecretSource => {
    if (typeof given === 'string') return { kind: 'StaticSecret', description: null, value: given };
    const description = typeof given['description'] === 'string' ? given['description'] : null;
    if (given['kind'] === 'LookupSecret' || 'url' in given)
      return { kind: 'LookupSecret', description, url: String(given['url']), headers: texts(given['headers']) };
    return {
      kind: 'StaticSecret',
      description,
      value: typeof given['value'] === 'string' ? given['value'] : null,
    };
  });

const texts = (value: unknown): Record<string, string> =>
  typeof value === 'object' && value !== null
    ? Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, String(entry)]))
    : {};

/** As answers show a secret: that it is there, and nothing of it. */
export const shownSecret = (source: SecretSource): Record<string, unknown> =>
  source.kind === 'StaticSecret'
    ? { description: source.description, value: null, kind: source.kind }
    : { description: source.description, url: source.url, headers: {}, kind: source.kind };

const LOOKUP_MS = 15_000;
const LOOKUP_BYTES = 1 << 20;
const SHORTEST = 4;

export interface SecretsOptions {
  /** Values that no command gets and that are hidden all the same: keys of the server, of models and of MCP servers. */
  hidden?: () => readonly string[];
  request?: typeof fetch;
}

/** The secrets as the agent uses them. `sources` is read anew each time. */
export function createSecrets(sources: () => Record<string, SecretSource>, options: SecretsOptions = {}): Secrets {
  const { hidden = () => [], request = fetch } = options;
  const seen = new Set<string>();
  const resolve = async (source: SecretSource): Promise<string | null> => {
    const value = source.kind === 'StaticSecret' ? source.value : await lookUp(source, request);
    if (value !== null && value.length >= SHORTEST) seen.add(value);
    return value;
  };
  const values = (): string[] => {
    for (const source of Object.values(sources()))
      if (source.kind === 'StaticSecret' && source.value !== null && source.value.length >= SHORTEST)
        seen.add(source.value);
    return [...seen, ...hidden()];
  };
  return {
    async forCommand(command) {
      const named = Object.entries(sources()).filter(([name]) => mentions(command, name));
      const found = await Promise.all(
        named.map(async ([name, source]) => [name, await resolve(source).catch(() => null)] as const),
      );
      return Object.fromEntries(found.filter((entry): entry is [string, string] => entry[1] !== null));
    },
    mask: (text) => (text.length < SHORTEST ? text : maskValues(text, values())),
    streamMask: () => createStreamMask(values),
    names: () => Object.entries(sources()).map(([name, source]) => ({ name, description: source.description })),
  };
}

const mentions = (command: string, name: string): boolean => command.toLowerCase().includes(name.toLowerCase());

async function lookUp(source: LookupSecret, request: typeof fetch): Promise<string | null> {
  const response = await request(source.url, { headers: source.headers, signal: AbortSignal.timeout(LOOKUP_MS) });
  if (!response.ok) {
    await response.body?.cancel();
    return null;
  }
  const value = await response.text();
  return value.length > LOOKUP_BYTES ? null : value;
}

/** Encrypts with AES-256-GCM under the server's secret key. */
export function seal(value: unknown, secretKey: string): string {
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', keyOf(secretKey), iv);
  const data = Buffer.concat([cipher.update(JSON.stringify(value), 'utf8'), cipher.final()]);
  return Buffer.concat([iv, cipher.getAuthTag(), data]).toString('base64');
}

/** What was sealed with one of these keys; undefined when none fits. */
export function unseal(sealed: string, secretKeys: readonly string[]): unknown {
  const bytes = Buffer.from(sealed, 'base64');
  for (const key of secretKeys) {
    try {
      const decipher = createDecipheriv('aes-256-gcm', keyOf(key), bytes.subarray(0, 12));
      decipher.setAuthTag(bytes.subarray(12, 28));
      return JSON.parse(decipher.update(bytes.subarray(28), undefined, 'utf8') + decipher.final('utf8')) as unknown;
    } catch {
      // Another key may fit.
    }
  }
  return undefined;
}

const keyOf = (secretKey: string): Buffer => createHash('sha256').update(`sandlot agent server\n${secretKey}`).digest();
