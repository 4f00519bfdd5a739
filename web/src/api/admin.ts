/** What administrators see and do: users, their sandboxes and keys. */
import { call } from './http';
import type { ApiKey } from './identity';
import type { Page, SandboxStatus } from './platform';

export interface AdminUser {
  id: string;
  email: string | null;
  name: string | null;
  roles: string[];
  last_login_at: string | null;
  disabled_at: string | null;
  sandboxes: { total: number; running: number };
  api_keys: number;
}

export interface AdminSandbox {
  id: string;
  status: SandboxStatus;
  created_at: string;
}

const enc = encodeURIComponent;
const userPath = (id: string) => `/api/v1/admin/users/${enc(id)}`;
const post = <T>(path: string) => call<T>(path, { method: 'POST', body: {} });

export const searchUsers = (query: string, pageId?: string) =>
  call<Page<AdminUser>>(
    `/api/v1/admin/users/search?query=${enc(query)}${pageId === undefined ? '' : `&page_id=${enc(pageId)}`}`,
  );
export const setDisabled = (id: string, disabled: boolean) =>
  post<AdminUser>(`${userPath(id)}/${disabled ? 'disable' : 'enable'}`);
export const userSandboxes = async (id: string) =>
  (await call<{ items: AdminSandbox[] }>(`${userPath(id)}/sandboxes`)).items;
export const pauseUserSandbox = (id: string, sandbox: string) =>
  post<unknown>(`${userPath(id)}/sandboxes/${enc(sandbox)}/pause`);
export const deleteUserSandbox = (id: string, sandbox: string) =>
  call<unknown>(`${userPath(id)}/sandboxes/${enc(sandbox)}`, { method: 'DELETE' });
export const userKeys = async (id: string) => (await call<{ items: ApiKey[] }>(`${userPath(id)}/keys`)).items;
export const revokeUserKey = (id: string, key: string) =>
  call<unknown>(`${userPath(id)}/keys/${enc(key)}`, { method: 'DELETE' });
