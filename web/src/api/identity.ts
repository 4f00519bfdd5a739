/** Who uses this page, and the way to the login. */
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

export const getIdentity = () => call<Identity>('/api/identity');
export const logOut = () => call<{ logout_url: string | null }>('/api/logout', { method: 'POST', body: {} });
export const listKeys = () => call<ApiKey[]>('/api/keys');
export const createKey = (key: { name: string; scopes: Scope[]; expires_at: string | null }) =>
  call<ApiKey & { key: string }>('/api/keys', { method: 'POST', body: key });
export const revokeKey = (id: string) => call<unknown>(`/api/keys/${encodeURIComponent(id)}`, { method: 'DELETE' });

export const loginUrl = (returnTo: string) => `/oauth/login?return_to=${encodeURIComponent(returnTo)}`;

let leaving = false;
// A page that the browser kept and shows again may leave again.
addEventListener('pageshow', () => (leaving = false));

/** The session is gone: to the login and back here. What was typed waits in useDraft. */
export function goToLogin(): void {
  if (leaving || ['/login', '/logged-out'].includes(location.pathname)) return;
  leaving = true;
  location.assign(loginUrl(location.pathname + location.search));
}
