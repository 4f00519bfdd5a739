/**
 * What OpenHands' web frontend (`@openhands/agent-canvas`) asks of a cloud before every start, and what there is none of here:
 * organisations, and agent profiles. A start uses the user's settings; LLM profiles (`/api/v1/settings/profiles`) switch models.
 */
import type { Api } from '../http/schema.js';

export function cloudRoutes(app: Api): void {
  app.get('/organizations', () => ({ items: [], current_org_id: null }));
  app.get('/agent-profiles', () => ({ profiles: [], active_agent_profile_id: null }));
}
