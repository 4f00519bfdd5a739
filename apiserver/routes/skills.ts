import type { FastifyInstance } from 'fastify';
import type { Deps } from '../deps.js';

/** Skills come with repositories; there is no shared collection yet, and no marketplace. */
export function skillRoutes(app: FastifyInstance, _deps: Deps): void {
  app.get('/skills/search', () => ({ items: [], next_page_id: null }));
  app.post('/skills/marketplace-skills', () => ({ skills: [], plugins: [], marketplace_skills: {}, errors: [] }));
}
