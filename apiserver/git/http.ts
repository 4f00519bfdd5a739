/** Calls to a git provider's API: bounded in time and size, parsed, and their troubles said in words for the user. */
import { request, type Dispatcher } from 'undici';
import { z } from 'zod';
import { ApiError } from '../http/errors.js';
import { UnreachableHost } from './reach.js';

export interface ProviderCall {
  /** Full URL. */
  url: string;
  authorization: string;
  /** Of a query language; makes it a POST. */
  body?: unknown;
}

export type ProviderFetch = <Schema extends z.ZodType>(call: ProviderCall, schema: Schema) => Promise<z.infer<Schema>>;

const TIMEOUT_MS = 10_000;
const LIMIT = 8 * 1024 * 1024;
/** Azure DevOps answers a bad token with its login page. */
const SIGN_IN = 203;
/** A provider that says nothing of when. */
const RETRY_SECONDS = 60;

/** `name`: how the user knows the provider. */
export function providerFetch(name: string, dispatcher: Dispatcher): ProviderFetch {
  return async (call, schema) => {
    const answer = await send(name, dispatcher, call);
    if (answer.status < 200 || answer.status > 299 || answer.status === SIGN_IN) throw refusal(name, answer);
    const parsed = schema.safeParse(jsonOf(answer.text));
    if (!parsed.success)
      throw new ApiError('provider_failed', {
        text: `${name} answers in a form that is not known. Is the host right?`,
        cause: parsed.error,
      });
    return parsed.data;
  };
}

interface Answer {
  status: number;
  text: string;
  headers: Record<string, string | string[] | undefined>;
}

async function send(name: string, dispatcher: Dispatcher, { url, authorization, body }: ProviderCall): Promise<Answer> {
  try {
    const {
      statusCode,
      headers,
      body: stream,
    } = await request(url, {
      dispatcher,
      method: body === undefined ? 'GET' : 'POST',
      headers: {
        authorization,
        accept: 'application/json',
        'user-agent': 'sandlot',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of stream) {
      size += (chunk as Buffer).length;
      if (size > LIMIT) throw new Error('the answer is too large');
      chunks.push(chunk as Buffer);
    }
    return { status: statusCode, headers, text: Buffer.concat(chunks).toString('utf8') };
  } catch (cause) {
    if (cause instanceof UnreachableHost)
      throw new ApiError('provider_failed', {
        text: `This installation does not call ${new URL(url).host} for ${name}: it is inside its network. An administrator can allow it with SANDLOT_GIT_HOSTS.`,
        cause,
      });
    throw new ApiError('provider_failed', { text: `${name} does not answer; try again in a moment.`, cause });
  }
}

/** A provider that is asked too often says so with 429, or with 403 and a count of what is left. */
function refusal(name: string, { status, headers, text }: Answer): ApiError {
  const limited = status === 429 || (status === 403 && headers['x-ratelimit-remaining'] === '0');
  if (limited) {
    const told = Number(headers['retry-after']);
    const retryAfter = Number.isInteger(told) && told > 0 ? Math.min(told, 3600) : RETRY_SECONDS;
    return new ApiError('provider_busy', { text: `${name} takes no more requests of yours for now.`, retryAfter });
  }
  if (status === 401 || status === 403 || status === SIGN_IN)
    return new ApiError(status === 403 ? 'provider_refused' : 'provider_unauthenticated', {
      text: `${name} refuses the token (${status}). Store one that is valid and may do this.`,
    });
  if (status === 404)
    return new ApiError('not_found', { text: `${name} has no such repository, or does not show it to you.` });
  const why = reasonIn(text);
  return new ApiError('provider_failed', { text: `${name} answered ${status}${why === '' ? '.' : `: ${why}`}` });
}

const message = z.object({ message: z.string() });
/** Where the providers say what is wrong with a request. */
const reasons = z.object({
  message: z.union([z.string(), z.array(z.string())]).optional(),
  errors: z.array(message).optional().catch(undefined),
  error: message.optional().catch(undefined),
});

function reasonIn(text: string): string {
  const { data } = reasons.safeParse(jsonOf(text));
  const all = [data?.message, data?.error?.message, ...(data?.errors ?? []).map((one) => one.message)];
  return all
    .flat()
    .filter((one) => one !== undefined)
    .join('; ')
    .slice(0, 500);
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
