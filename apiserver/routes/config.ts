import { z } from 'zod';
import type { Deps } from '../deps.js';
import type { Api } from '../http/schema.js';
import { sliceByOffset } from '../http/page.js';
import { limit, pageId, queryFlag } from '../http/validate.js';
import { MODELS, PROVIDERS } from '../settings/models.js';

const filters = {
  query: z.string().max(200).optional(),
  verified__eq: queryFlag.optional(),
  page_id: pageId,
  limit: limit(50),
};
const modelQuery = z.object({ ...filters, provider__eq: z.string().max(200).optional() });
const providerQuery = z.object(filters);

/** Suggestions for the settings form; any other `provider/model` can be typed. */
export function configRoutes(app: Api, _deps: Deps): void {
  app.get('/config/models/search', { schema: { querystring: modelQuery } }, ({ query: wanted }) => {
    const text = wanted.query?.toLowerCase() ?? '';
    const found = MODELS.filter(
      ({ provider, name, verified }) =>
        name.toLowerCase().includes(text) &&
        (wanted.provider__eq ?? provider) === provider &&
        (wanted.verified__eq ?? verified) === verified,
    );
    return sliceByOffset(found, wanted.page_id, wanted.limit);
  });

  app.get('/config/providers/search', { schema: { querystring: providerQuery } }, ({ query: wanted }) => {
    const text = wanted.query?.toLowerCase() ?? '';
    const found = PROVIDERS.filter(
      ({ name, verified }) => name.toLowerCase().includes(text) && (wanted.verified__eq ?? verified) === verified,
    );
    return sliceByOffset(found, wanted.page_id, wanted.limit);
  });
}
