/** One way to call an HTTP API: JSON in and out, errors as sentences a person can read. */

export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    /** `x-sandlot-error`: which of the API's errors it is. */
    readonly code: string | null = null,
  ) {
    super(message);
    this.name = 'ApiError';
  }
}

export interface CallOptions {
  method?: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  body?: unknown;
  /** Session key of a sandbox; only for calls to its agent server. */
  sessionKey?: string;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

/** Throws ApiError; status 0 means that nothing answered. */
export async function call<T>(url: string, options: CallOptions = {}): Promise<T> {
  const headers: Record<string, string> = { ...options.headers };
  if (options.body !== undefined) headers['content-type'] = 'application/json';
  if (options.sessionKey !== undefined) headers['x-session-api-key'] = options.sessionKey;
  let response: Response;
  try {
    response = await fetch(url, {
      method: options.method ?? 'GET',
      headers,
      ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
  } catch (error) {
    throw new ApiError(
      0,
      error instanceof DOMException && error.name === 'AbortError' ? 'Cancelled' : 'The server does not answer.',
    );
  }
  const text = await response.text();
  const body = parse(text);
  if (!response.ok) {
    const words = sentence(body) ?? `The server answered ${response.status}.`;
    throw new ApiError(response.status, words, response.headers.get('x-sandlot-error'));
  }
  return body as T;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** The message in any of the error bodies that the two servers use: detail as text, detail as a list, error, message. */
function sentence(body: unknown): string | undefined {
  if (typeof body !== 'object' || body === null) return undefined;
  const { detail, error, message } = body as { detail?: unknown; error?: unknown; message?: unknown };
  if (Array.isArray(detail)) {
    return detail
      .map(
        (issue: { loc?: unknown[]; msg?: string }) =>
          `${(issue.loc ?? []).slice(1).join('.')}: ${issue.msg ?? 'wrong'}`,
      )
      .join('; ');
  }
  return [detail, error, message].find((candidate): candidate is string => typeof candidate === 'string');
}
