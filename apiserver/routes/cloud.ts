/**
 * What OpenHands' web frontend (`@openhands/agent-canvas`) asks of a cloud before every start, and what there is none of here:
 * organisations.
 */
import type { Api } from '../http/schema.js';

export function cloudRoutes(app: Api): void {
  app.get('/organizations', () => ({ items: [], current_org_id: null }));
}
