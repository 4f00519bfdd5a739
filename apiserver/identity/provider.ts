/** The OIDC provider: code flow with PKCE, state and nonce; refresh; logout from either side. Thin over openid-client and jose. */
import { createRemoteJWKSet, jwtVerify } from 'jose';
import * as oidc from 'openid-client';
import { z } from 'zod';
import { lacksClaims, type Claims } from './claims.js';
import type { OidcSettings } from './settings.js';

/** What has to be known again at the callback; travels in a sealed cookie. */
export const attemptSchema = z.object({
  state: z.string(),
  nonce: z.string(),
  verifier: z.string(),
  returnTo: z.string(),
});
export type Attempt = z.infer<typeof attemptSchema>;

export interface Login {
  /** Undefined after a refresh that said nothing of the person. */
  claims: Claims | undefined;
  idToken: string | undefined;
  refreshToken: string | undefined;
  /** When the access token ends, seconds from now. */
  seconds: number | undefined;
}

export interface Provider {
  /** Where the browser logs in. */
  begin(returnTo: string): Promise<{ url: string; attempt: Attempt }>;
  /** `query`: of the callback's URL. Throws ProviderError. */
  finish(query: string, attempt: Attempt): Promise<Login>;
  /** Throws ProviderError; `refused` when the provider knows the session no more. */
  refresh(refreshToken: string, subject: string): Promise<Login>;
  /** Where the browser logs out at the provider too; undefined when it has no such page. */
  logoutUrl(idToken: string | undefined): Promise<string | undefined>;
  /** Whose session a provider's logout token ends. Throws ProviderError for one that is not good. */
  readLogoutToken(token: string): Promise<{ sid: string | undefined; subject: string | undefined }>;
}

/** `refused`: the provider said no, and will again. `unreachable`: it, or what it said, is of no use just now. */
export class ProviderError extends Error {
  override readonly name = 'ProviderError';
  constructor(
    readonly kind: 'refused' | 'unreachable',
    message: string,
    options: { cause: unknown },
  ) {
    super(message, options);
  }
}

export const CALLBACK = '/oauth/callback';
export const LOGGED_OUT = '/logged-out';
const TIMEOUT_S = 10;
/** A failed discovery is asked again after this, so that a provider that is down is not asked by every request. */
const AGAIN_MS = 5_000;
/** A provider's metadata and keys' address may change. */
const DISCOVERED_MS = 3_600_000;

interface Known {
  client: oidc.Configuration;
  keys: ReturnType<typeof createRemoteJWKSet> | undefined;
}

export function createProvider(
  settings: OidcSettings,
  { publicUrl, now }: { publicUrl: string; now: () => number },
): Provider {
  let known: { at: number; value: Promise<Known>; failed: boolean } | undefined;
  const discovered = (): Promise<Known> => {
    if (known !== undefined && now() - known.at < (known.failed ? AGAIN_MS : DISCOVERED_MS)) return known.value;
    const entry = { at: now(), value: discover(settings), failed: false };
    entry.value.catch(() => (entry.failed = true));
    known = entry;
    return entry.value;
  };
  const asked = async <T>(ask: (known: Known) => Promise<T>): Promise<T> => {
    try {
      return await ask(await discovered());
    } catch (error) {
      throw providerError(error);
    }
  };
  const redirectUri = publicUrl + CALLBACK;
  return {
    begin: (returnTo) =>
      asked(async ({ client }) => {
        const attempt: Attempt = {
          state: oidc.randomState(),
          nonce: oidc.randomNonce(),
          verifier: oidc.randomPKCECodeVerifier(),
          returnTo,
        };
        const url = oidc.buildAuthorizationUrl(client, {
          redirect_uri: redirectUri,
          scope: settings.scopes,
          state: attempt.state,
          nonce: attempt.nonce,
          code_challenge: await oidc.calculatePKCECodeChallenge(attempt.verifier),
          code_challenge_method: 'S256',
        });
        return { url: url.href, attempt };
      }),
    finish: (query, { state, nonce, verifier }) =>
      asked(async ({ client }) => {
        const tokens = await oidc.authorizationCodeGrant(client, new URL(`${redirectUri}?${query}`), {
          expectedState: state,
          expectedNonce: nonce,
          pkceCodeVerifier: verifier,
          idTokenExpected: true,
        });
        const claims = tokens.claims();
        if (claims === undefined) throw new TypeError('the provider gave no ID token');
        return await loginOf({ client, settings, tokens, claims });
      }),
    refresh: (refreshToken, subject) =>
      asked(async ({ client }) => {
        const tokens = await oidc.refreshTokenGrant(client, refreshToken);
        return await loginOf({ client, settings, tokens, claims: tokens.claims() ?? { sub: subject } });
      }),
    logoutUrl: (idToken) =>
      asked(({ client }) =>
        Promise.resolve(
          client.serverMetadata().end_session_endpoint === undefined
            ? undefined
            : oidc.buildEndSessionUrl(client, {
                post_logout_redirect_uri: publicUrl + LOGGED_OUT,
                ...(idToken === undefined ? {} : { id_token_hint: idToken }),
              }).href,
        ),
      ),
    readLogoutToken: (token) => asked(({ client, keys }) => logoutOf(token, { client, keys, settings })),
  };
}

async function discover(settings: OidcSettings): Promise<Known> {
  const client = await oidc.discovery(
    new URL(settings.issuer),
    settings.clientId,
    settings.clientSecret,
    settings.clientSecret === undefined ? oidc.None() : undefined,
    {
      timeout: TIMEOUT_S,
      // Plain HTTP is for providers on this machine; the settings refuse any other.
      ...(settings.issuer.startsWith('http:') ? { execute: [oidc.allowInsecureRequests] } : {}),
    },
  );
  const { jwks_uri: address } = client.serverMetadata();
  return { client, keys: address === undefined ? undefined : createRemoteJWKSet(new URL(address)) };
}

interface Answered {
  client: oidc.Configuration;
  settings: OidcSettings;
  tokens: oidc.TokenEndpointResponse & oidc.TokenEndpointResponseHelpers;
  claims: Claims & { sub: string };
}

/** Many providers give groups and addresses at the user-info endpoint only; what the ID token says goes over that. */
async function loginOf({ client, settings, tokens, claims }: Answered): Promise<Login> {
  const mayAsk = client.serverMetadata().userinfo_endpoint !== undefined;
  const more =
    mayAsk && lacksClaims(claims, settings) ? await oidc.fetchUserInfo(client, tokens.access_token, claims.sub) : {};
  const all = { ...more, ...claims };
  return {
    claims: Object.keys(all).length > 1 ? all : undefined,
    idToken: tokens.id_token,
    refreshToken: tokens.refresh_token,
    seconds: tokens.expiresIn(),
  };
}

const LOGOUT_EVENT = 'http://schemas.openid.net/event/backchannel-logout';
const logoutClaims = z
  .object({
    events: z.object({ [LOGOUT_EVENT]: z.record(z.string(), z.unknown()) }),
    nonce: z.never().optional(),
    sid: z.string().optional(),
    sub: z.string().optional(),
  })
  .refine(({ sid, sub }) => sid !== undefined || sub !== undefined);

/** OpenID Connect Back-Channel Logout 1.0, section 2.6. Ending a session twice does nothing, so `jti` is not remembered. */
async function logoutOf(token: string, { client, keys, settings }: Known & { settings: OidcSettings }) {
  if (keys === undefined) throw new TypeError('the provider names no keys');
  const { payload } = await jwtVerify(token, keys, {
    issuer: client.serverMetadata().issuer,
    audience: settings.clientId,
    requiredClaims: ['iat', 'jti', 'events'],
    maxTokenAge: '5 minutes',
    clockTolerance: '30 seconds',
  });
  const { sid, sub } = logoutClaims.parse(payload);
  return { sid, subject: sub };
}

/** A code of OAuth means that the provider answered and said no. Its text may hold anything, so it is only a cause. */
function providerError(error: unknown): ProviderError {
  const { status, error: code } = error as { status?: number; error?: string };
  const refused =
    code !== undefined && code !== 'temporarily_unavailable' && code !== 'server_error' && (status ?? 400) < 500;
  const kind = refused || error instanceof z.ZodError || isBadToken(error) ? 'refused' : 'unreachable';
  return new ProviderError(
    kind,
    kind === 'refused' ? 'The login provider refused.' : 'The login provider does not answer.',
    {
      cause: error,
    },
  );
}

/** Errors of jose about a token itself, not about fetching keys. */
const isBadToken = (error: unknown): boolean =>
  /^ERR_(JWT|JWS|JWKS_NO_MATCHING_KEY|JOSE_ALG_NOT_ALLOWED|JOSE_NOT_SUPPORTED)/.test(
    String((error as { code?: unknown }).code ?? ''),
  );
