/** Who uses this page, and the way to the login. */
import { stored } from '../parts/stored';
import { call } from './http';

export interface Identity {
  mode: 'single-user' | 'oidc';
  /** Null where nobody has to log in. */
  login_url: string | null;
  user: { id: string; roles: string[]; email: string | null; name: string | null } | null;
}

export const SCOPES = ['full', 'runtime', 'read'] as const;
export type Scope = (typeof SCOPES)[number];

export interface ApiKey {
  id: string;
  name: string | null;
  hint: string;
  scopes: Scope[];
  created_at: string;
  last_used_at: string | null;
  expires_at: string | null;
}

export async function getIdentity(): Promise<Identity> {
  const identity = await call<Identity>('/api/identity');
  if (identity.user !== null) stored((storage) => storage.removeItem(DEPARTURES));
  return identity;
}
export const logOut = () => call<{ logout_url: string | null }>('/api/logout', { method: 'POST', body: {} });
export const listKeys = () => call<ApiKey[]>('/api/keys');
export const createKey = (key: { name: string; scopes: Scope[]; expires_at: string | null }) =>
  call<ApiKey & { key: string }>('/api/keys', { method: 'POST', body: key });
export const revokeKey = (id: string) => call<unknown>(`/api/keys/${encodeURIComponent(id)}`, { method: 'DELETE' });

/** Lets the program that shows this code in, or not. */
export const decideDevice = (code: string, allow: boolean) =>
  call<{ allowed: boolean }>(`/api/v1/device-logins/${encodeURIComponent(code)}`, { method: 'POST', body: { allow } });

export const loginUrl = (returnTo: string) => `/oauth/login?return_to=${encodeURIComponent(returnTo)}`;

let leaving = false;
// A page that the browser kept and shows again may leave again.
addEventListener('pageshow', () => (leaving = false));

/** Where this tab remembers when it left for the login, until it is known who uses it. */
const DEPARTURES = 'login-departures';
const MAX_DEPARTURES = 3;
const DEPARTURES_MS = 10 * 60_000;

/** The session is gone: to the login and back here. What was typed waits in useDraft. */
export function goToLogin(): void {
  if (leaving || ['/login', '/logged-out'].includes(location.pathname)) return;
  leaving = true;
  location.assign(isInCircles() ? '/login?problem=not_kept' : loginUrl(location.pathname + location.search));
}

/**
 * Whether logins have been in vain: a provider that knows its user sends him back at once, so a browser that does not keep
 * our cookie would go to and fro for ever. Not at the first return, for people also come back by their browser's button.
 */
function isInCircles(): boolean {
  const since = Date.now() - DEPARTURES_MS;
  const text = stored((storage) => storage.getItem(DEPARTURES)) ?? '';
  const times = text.split(' ').filter((time) => Number(time) > since);
  if (times.length >= MAX_DEPARTURES) return true;
  stored((storage) => storage.setItem(DEPARTURES, [...times, Date.now()].join(' ')));
  return false;
}
