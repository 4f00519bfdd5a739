/** Share links: what an owner makes and revokes, and what their holders see. */
import { call } from './http';
import type { ExecutionStatus, Page, SandboxStatus } from './platform';

export type SharedPort = string | number;

export interface Share {
  id: string;
  name: string | null;
  ports: SharedPort[];
  created_at: string;
  expires_at: string;
  last_used_at: string | null;
}

/** `link` is a path with the secret behind `#`; it is told once. */
export type NewShare = Share & { link: string };

const enc = encodeURIComponent;
const sharesOf = (id: string) => `/api/v1/app-conversations/${enc(id)}/shares`;

export const listShares = async (id: string) => (await call<{ items: Share[] }>(sharesOf(id))).items;
export const createShare = (id: string, share: { name: string; expires_at: string; ports: SharedPort[] }) =>
  call<NewShare>(sharesOf(id), { method: 'POST', body: share });
export const revokeShare = (id: string, shareId: string) =>
  call<unknown>(`${sharesOf(id)}/${enc(shareId)}`, { method: 'DELETE' });
export const setPublic = (id: string, isPublic: boolean) =>
  call<unknown>(`/api/v1/app-conversations/${enc(id)}`, { method: 'PATCH', body: { public: isPublic } });
export const publicPath = (id: string) => `/shared/conversations/${enc(id)}`;

export interface SharedConversation {
  id: string;
  title: string | null;
  selected_repository: string | null;
  sandbox_status: SandboxStatus;
  execution_status: ExecutionStatus | null;
  /** Null for a conversation that is public and was opened without a link. */
  share: { expires_at: string; ports: SharedPort[] } | null;
}

/** What a visitor of a shared conversation holds; `secret` is empty for a public one. */
export interface Visit {
  id: string;
  secret: string;
}

const headers = ({ secret }: Visit) => ({ 'x-sandlot-share': secret });

/** Null when it is not shared, or no longer. */
export async function getShared(visit: Visit): Promise<SharedConversation | null> {
  const [found] = await call<(SharedConversation | null)[]>(`/api/shared-conversations?ids=${enc(visit.id)}`, {
    headers: headers(visit),
  });
  return found ?? null;
}

export const enterShared = (visit: Visit, port: SharedPort) =>
  call<{ url: string }>(`/api/shared-conversations/${enc(visit.id)}/entry`, {
    method: 'POST',
    body: { port },
    headers: headers(visit),
  });

/** Pages at most at a time: a bound on what one browser tab reads. */
const MAX_PAGES = 100;

/** Stored events, oldest first, from a time on. */
export async function readShared(visit: Visit, from: string | undefined, signal: AbortSignal): Promise<unknown[]> {
  const events: unknown[] = [];
  const query = new URLSearchParams({ conversation_id: visit.id, limit: '100' });
  if (from !== undefined) query.set('timestamp__gte', from);
  for (let pages = 0; pages < MAX_PAGES; pages += 1) {
    const page: Page<unknown> = await call(`/api/shared-events/search?${query.toString()}`, {
      headers: headers(visit),
      signal,
    });
    events.push(...page.items);
    if (page.next_page_id === null) break;
    query.set('page_id', page.next_page_id);
  }
  return events;
}
