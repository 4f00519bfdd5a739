import type { Deps } from '../deps.js';
import type { Api } from '../http/schema.js';

/** Skills come with repositories; there is no shared collection yet, and no marketplace. */
export function skillRoutes(app: Api, _deps: Deps): void {
  app.get('/skills/search', () => ({ items: [], next_page_id: null }));
  app.post('/skills/marketplace-skills', () => ({ skills: [], plugins: [], marketplace_skills: {}, errors: [] }));
}
