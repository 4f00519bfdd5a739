/** What a caller may do. Sessions may do everything of their user; an API key what its scopes say. */

/** `full`: everything of its user; `runtime`: the Runtime API; `read`: GET of what holds no key and no secret. */
export const SCOPES = ['full', 'runtime', 'read'] as const;
export type Scope = (typeof SCOPES)[number];

/** What a route asks for. `session`: a person in a browser, or the local user; never an API key. `admin`: with that role. */
export type Need = 'read' | 'full' | 'runtime' | 'session' | 'admin';

export interface Rights {
  via: 'local' | 'session' | 'key';
  roles: readonly string[];
  scopes: readonly Scope[];
}

export const ADMIN = 'admin';

const SAFE = new Set(['GET', 'HEAD', 'OPTIONS']);

/** Of a user's route that says nothing itself. A WebSocket here only tells. */
export const needOf = (method: string): Need => (SAFE.has(method) ? 'read' : 'full');

export function allows({ via, roles, scopes }: Rights, need: Need): boolean {
  switch (need) {
    case 'session':
      return via !== 'key';
    case 'admin':
      return roles.includes(ADMIN) && scopes.includes('full');
    case 'full':
      return scopes.includes('full');
    default:
      return scopes.includes('full') || scopes.includes(need);
  }
}

/** Whether answers may hold session keys: they open the whole sandbox, which reading alone must not. */
export const mayHoldKeys = ({ scopes }: Pick<Rights, 'scopes'>): boolean => scopes.includes('full');
