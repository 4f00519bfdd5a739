import { z } from 'zod';
import type { SandboxTemplate } from '../../contracts/resources.js';
import type { Deps } from '../deps.js';
import type { Api } from '../http/schema.js';
import { ApiError } from '../http/errors.js';
import { sliceByOffset } from '../http/page.js';
import { isoZ } from '../http/times.js';
import { limit, pageId, repeated } from '../http/validate.js';

const searchQuery = z.object({ page_id: pageId, limit: limit() });
const batchQuery = z.object({ id: repeated });
const MAX_IDS = 100;

/** Kinds of sandbox: the SandboxTemplates of the namespace, or the operator's built-in shape where there is none. */
export function specRoutes(app: Api, { templates, config }: Deps): void {
  const specs = () => {
    const all = templates.list();
    // The one that conversations get comes first.
    const sorted = [...all.filter(isDefault), ...all.filter((template) => !isDefault(template))];
    return sorted.length === 0 ? [BUILT_IN] : sorted.map(shown);
  };
  const isDefault = ({ metadata }: SandboxTemplate) => metadata.name === config.template;

  app.get('/sandbox-specs/search', { schema: { querystring: searchQuery } }, ({ query }) => {
    const { page_id, limit: size } = query;
    return sliceByOffset(specs(), page_id, size);
  });
  app.get('/sandbox-specs', { schema: { querystring: batchQuery } }, ({ query }) => {
    const ids = query.id;
    if (ids.length > MAX_IDS)
      throw new ApiError('too_many_ids', { text: `Too many ids requested. Maximum is ${MAX_IDS}.` });
    return ids.map((id) => specs().find((spec) => spec.id === id) ?? null);
  });
}

const WORKING_DIR = '/workspace/project';
const BUILT_IN = {
  id: 'built-in',
  command: [],
  created_at: isoZ(new Date(0)),
  initial_env: {},
  working_dir: WORKING_DIR,
};

function shown({ metadata, spec }: SandboxTemplate) {
  const made = new Date(metadata.creationTimestamp ?? 0);
  // Values from Secrets are not for everyone's eyes; plain ones are part of the kind.
  const env = (spec.env ?? []).filter(({ value }) => value !== undefined).map(({ name, value }) => [name, value]);
  return {
    id: metadata.name,
    command: [...(spec.command ?? []), ...(spec.args ?? [])],
    created_at: isoZ(made),
    initial_env: Object.fromEntries(env) as Record<string, string>,
    working_dir: WORKING_DIR,
  };
}
