/**
 * Every error that the API answers on purpose: code → status, body form and words. Bodies are those of the OpenHands app
 * server (`detail`, or `error` where it says so); problem.ts puts what RFC 9457 has beside that.
 */
interface Spec {
  status: number;
  /** Key of the body that holds the words. */
  form: 'detail' | 'error';
  text: string;
}

const detail = (status: number, text: string): Spec => ({ status, form: 'detail', text });
const error = (status: number, text: string): Spec => ({ status, form: 'error', text });

export const ERRORS = {
  bad_body: detail(400, 'The body is not what this route takes.'),
  bad_conversation_id: detail(400, 'Invalid conversation ID format'),
  bad_ids: detail(400, 'Invalid UUID format for ids'),
  too_many_ids: detail(400, 'Too many ids requested.'),
  empty_content: detail(400, 'content must be a non-empty list'),
  bad_key_request: detail(400, 'The API key cannot be made like this.'),
  bad_share: detail(400, 'The share cannot be made like this.'),
  bad_settings: error(400, 'The settings are not valid.'),
  bad_secret: detail(400, 'The secret is not valid.'),
  not_acp: detail(400, 'Agent server error: 400'),
  forbidden_host: detail(403, 'This server answers only to its own addresses on this machine.'),
  forbidden_origin: detail(403, 'Requests from other origins are not allowed.'),
  no_provider_token: detail(403, 'Git provider token required (such as GitHub).'),
  provider_refused: detail(403, 'The git provider refuses the stored token.'),
  provider_unauthenticated: detail(403, 'The git provider does not take the stored token.'),
  provider_not_connected: detail(403, 'Git provider not connected'),
  other_sandbox: detail(403, 'Session API key does not match sandbox'),
  login_required: detail(401, 'Log in first.'),
  key_required: detail(401, 'Pages of other origins must send an API key.'),
  bad_key: detail(401, 'The API key is not valid, or no longer.'),
  user_disabled: detail(403, 'This user is disabled. Ask an administrator.'),
  key_scope: detail(403, 'The API key may not do this; its scopes are too narrow.'),
  not_allowed: detail(403, 'You may not do this.'),
  no_session_key: detail(401, 'X-Session-API-Key header is required'),
  bad_session_key: detail(401, 'Invalid session API key'),
  no_sandbox_user: detail(401, 'Sandbox has no associated user'),
  no_api_key: detail(401, 'X-API-Key header is required'),
  not_found: detail(404, 'Not Found'),
  no_runtime: detail(404, 'Runtime not found'),
  no_registry: detail(404, 'This installation names no registry: set SANDLOT_RUNTIME_REGISTRY.'),
  conversation_not_found: detail(404, 'Conversation not found'),
  unknown_app_conversation: detail(404, 'unknown_app_conversation'),
  conversation_missing: error(404, 'Conversation not found'),
  settings_not_found: error(404, 'Settings not found'),
  secret_not_found: detail(404, 'Secret not found'),
  no_device_login: detail(404, 'No program waits with this code; codes are good for ten minutes.'),
  user_not_found: detail(404, 'There is no such user.'),
  share_not_found: detail(404, 'There is no such share.'),
  key_not_found: detail(404, 'API key not found'),
  agent_profile_not_found: detail(404, 'Agent profile not found'),
  profile_not_found: detail(404, 'Profile not found'),
  method_not_allowed: detail(405, 'Method Not Allowed'),
  sandbox_paused: detail(409, 'Sandbox is PAUSED. Use POST /api/v1/sandboxes/{id}/resume to resume it first.'),
  sandbox_not_running: detail(409, 'The sandbox is not running.'),
  agent_profile_incomplete: detail(409, 'The agent profile cannot be used.'),
  profile_exists: detail(409, 'A profile of that name exists.'),
  too_many_keys: detail(409, 'There are too many API keys; delete some first.'),
  own_user: detail(409, 'You cannot disable yourself.'),
  too_many_shares: detail(409, 'There are too many shares of this sandbox; revoke some first.'),
  too_many_profiles: detail(409, 'Profile limit reached (10).'),
  key_reused: detail(409, 'This Idempotency-Key was used for another start.'),
  conversation_exists: detail(409, 'A conversation with that id exists.'),
  start_conflict: detail(409, 'The sandbox belongs to another start.'),
  sandbox_gone: detail(410, 'The sandbox of this conversation is gone.'),
  too_many_events: detail(413, 'The conversation has too many events to download.'),
  body_too_large: detail(413, 'The body is too large.'),
  bad_media_type: detail(415, 'Send application/json.'),
  legacy_settings: error(422, 'Use *_diff nested settings payloads instead of legacy keys'),
  too_many_device_logins: detail(429, 'Too many programs wait to be let in; try again in some minutes.'),
  too_many_requests: detail(429, 'Too many requests. Wait as long as Retry-After says.'),
  too_many_starts: detail(429, 'Too many conversations are starting. Wait until some of them are ready.'),
  too_many_sandboxes: detail(429, 'Too many sandboxes; pause or stop some of them.'),
  provider_busy: detail(429, 'The git provider takes no more requests for now.'),
  too_many_pending: detail(429, 'Too many pending messages. Maximum 10 messages per conversation.'),
  internal: detail(500, 'Internal Server Error'),
  provider_unknown: detail(501, 'This provider can be cloned from, but not searched: type the name of the repository.'),
  no_builds: detail(501, 'No images are built here: build yours elsewhere and start it by its name.'),
  registry_failed: detail(502, 'The registry of the image did not answer as expected.'),
  provider_failed: detail(502, 'The git provider did not answer as expected.'),
  agent_failed: detail(502, 'The agent server of the sandbox did not answer as expected.'),
  archive_unavailable: detail(503, 'The archive of conversations does not answer; try again in a moment.'),
  login_unreachable: detail(503, 'The login provider does not answer; try again in a moment.'),
  sandbox_failed: detail(503, 'The sandbox has failed.'),
  sandbox_slow: detail(503, 'The cluster has not taken up the sandbox yet; try again in a moment.'),
  cluster_unavailable: detail(503, 'The cluster does not answer; try again in a moment.'),
} as const satisfies Record<string, Spec>;

export type ErrorCode = keyof typeof ERRORS;

/** An answer, thrown. Whoever throws it chooses a code; `text` may say the particulars, without addresses inside the cluster. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  readonly body: Record<string, unknown>;
  /** What is the same for every occurrence of the code. */
  readonly title: string;
  /** Seconds after which asking again makes sense. */
  readonly retryAfter: number | undefined;

  constructor(
    readonly code: ErrorCode | 'validation',
    options: {
      text?: string | undefined;
      extra?: Record<string, unknown>;
      cause?: unknown;
      issues?: FieldIssue[];
      retryAfter?: number;
    } = {},
  ) {
    const spec: Spec = code === 'validation' ? detail(422, 'The request is not valid.') : ERRORS[code];
    const text = options.text ?? spec.text;
    super(text, options.cause === undefined ? undefined : { cause: options.cause });
    this.status = spec.status;
    this.title = spec.text;
    this.retryAfter = options.retryAfter ?? ([429, 503].includes(spec.status) ? 1 : undefined);
    this.body = { [spec.form]: options.issues ?? text, ...options.extra };
  }
}

/** One entry of a 422's `detail`, as FastAPI words it. */
export interface FieldIssue {
  type: string;
  /** `query` or `body`, then the path. */
  loc: (string | number)[];
  msg: string;
  input?: unknown;
}
