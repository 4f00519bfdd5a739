/**
 * Whether an image can be pulled: asked of its registry by the OCI distribution protocol, anonymously. Only the registry
 * that the installation names is asked: a caller must not make this server call any host it likes.
 */
import { Agent, request } from 'undici';
import { z } from 'zod';
import { originOf } from '../git/hosts.js';

export interface ImageInfo {
  exists: boolean;
  image?: { upload_time: string | null; image_size_bytes: number };
}

export interface Images {
  /** Rejects with RegistryError when the registry does not say. */
  look(image: string): Promise<ImageInfo>;
  close(): Promise<void>;
}

export class RegistryError extends Error {
  override readonly name = 'RegistryError';
}

export interface ImageRef {
  /** Host, with port where it has one. */
  registry: string;
  repository: string;
  reference: string;
}

/** `host[:port]/path[:tag][@digest]`; undefined for what names no registry. */
export function parseImage(image: string): ImageRef | undefined {
  const found =
    /^([a-z0-9.-]+(?::[0-9]{1,5})?)\/([a-z0-9._/-]{1,255}?)(?::([\w][\w.-]{0,127}))?(?:@(sha256:[0-9a-f]{64}))?$/i.exec(
      image,
    );
  const [, registry = '', repository = '', tag, digest] = found ?? [];
  const isHost = registry.includes('.') || registry.includes(':') || registry === 'localhost';
  return isHost && !repository.includes('..')
    ? { registry, repository, reference: digest ?? tag ?? 'latest' }
    : undefined;
}

const MANIFESTS = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ');
const TIMEOUT_MS = 10_000;
const LIMIT = 4 * 1024 * 1024;

const sized = z.object({ size: z.number().nonnegative().default(0) });
const manifest = z.object({
  config: sized.optional(),
  layers: z.array(sized).max(1000).optional(),
});
const tokenAnswer = z.object({ token: z.string().optional(), access_token: z.string().optional() });

export interface ImagesOptions {
  /** `ghcr.io/openhands`; undefined: no registry may be asked. */
  prefix: string | undefined;
}

export function createImages({ prefix }: ImagesOptions): Images {
  const dispatcher = new Agent({ connections: 4, connect: { timeout: 5_000 } });
  const allowed = prefix?.split('/')[0];
  const get = async (url: string, headers: Record<string, string>) => {
    try {
      const signal = AbortSignal.timeout(TIMEOUT_MS);
      const answer = await request(url, { dispatcher, headers, signal });
      const text = await bounded(answer.body);
      return { status: answer.statusCode, headers: answer.headers, text };
    } catch (cause) {
      throw new RegistryError('the registry does not answer', { cause });
    }
  };
  const ask = async ({ registry, repository, reference }: ImageRef) => {
    const url = `${originOf(registry)}/v2/${repository}/manifests/${reference}`;
    const first = await get(url, { accept: MANIFESTS });
    if (first.status !== 401) return first;
    const token = await anonymousToken(registry, first.headers['www-authenticate'], get);
    return await get(url, { accept: MANIFESTS, authorization: `Bearer ${token}` });
  };
  return {
    async look(image) {
      const ref = parseImage(image);
      if (ref === undefined || allowed === undefined || ref.registry !== allowed) return { exists: false };
      const answer = await ask(ref);
      // Registries say 401 and 403 for what is not there as well as for what is not public.
      if ([401, 403, 404].includes(answer.status)) return { exists: false };
      if (answer.status !== 200) throw new RegistryError(`the registry answered ${answer.status}`);
      return { exists: true, image: { upload_time: null, image_size_bytes: sizeOf(answer.text) } };
    },
    close: () => dispatcher.close(),
  };
}

type Get = (url: string, headers: Record<string, string>) => Promise<{ status: number; text: string }>;

/** The registry's own token service only: the challenge must not lead elsewhere inside the network. */
async function anonymousToken(registry: string, challenge: string | string[] | undefined, get: Get): Promise<string> {
  const parts = new Map(
    [...String(challenge ?? '').matchAll(/(\w+)="([^"]*)"/g)].map(([, name = '', value = '']) => [name, value]),
  );
  const realm = URL.canParse(parts.get('realm') ?? '') ? new URL(parts.get('realm') ?? '') : undefined;
  if (realm === undefined || !sameSite(realm.host, registry)) throw new RegistryError('the registry asks for a login');
  for (const name of ['service', 'scope']) realm.searchParams.set(name, parts.get(name) ?? '');
  const answer = await get(realm.href, {});
  const parsed = answer.status === 200 ? tokenAnswer.safeParse(json(answer.text)) : undefined;
  const token = parsed?.data?.token ?? parsed?.data?.access_token;
  if (token === undefined) throw new RegistryError('the registry gives no anonymous token');
  return token;
}

const sameSite = (host: string, registry: string): boolean =>
  host === registry || host.endsWith(`.${registry.split('.').slice(-2).join('.')}`);

/** Of the layers of one platform; an index does not say. */
function sizeOf(text: string): number {
  const { config, layers } = manifest.catch({}).parse(json(text));
  return (config?.size ?? 0) + (layers ?? []).reduce((sum, { size }) => sum + size, 0);
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function bounded(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > LIMIT) throw new RegistryError('the registry answers too much');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
