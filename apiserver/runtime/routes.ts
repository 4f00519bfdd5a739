/**
 * The Runtime API, as OpenHands' remote runtime and remote sandbox clients use it: sandboxes for another app server, each
 * under a session id of the caller's. A key is a tenant: it sees its own user's sessions alone.
 */
import { z } from 'zod';
import type { Deps } from '../deps.js';
import type { Api } from '../http/schema.js';
import { ApiError } from '../http/errors.js';
import { idPath, repeated } from '../http/validate.js';
import type { Sandbox } from '../../contracts/resources.js';
import { RegistryError } from './images.js';
import { runtimeBody, specOf, startBody } from './request.js';
import {
  findRuntime,
  findSession,
  pauseSession,
  resumeSession,
  sessionsOf,
  startSession,
  stopSession,
} from './sessions.js';
import { runtimeStatus, showConfigs, showRuntime } from './view.js';

const batchQuery = z.object({ ids: repeated });
const imageQuery = z.object({ image: z.string().min(1).max(1024) });
const MAX_IDS = 1000;

export function runtimeRoutes(app: Api, deps: Deps): void {
  const { config, templates, images } = deps;
  const show = (sandbox: Sandbox) => showRuntime(sandbox, { gateway: config.gateway, secret: config.secrets[0] });

  app.post('/start', { schema: { body: startBody } }, async ({ body: wanted, user }) => {
    const spec = specOf(wanted, {
      templates: templates.list(),
      fallback: config.template,
      runtimeClasses: config.runtimeClasses,
    });
    return show(await startSession(deps, { owner: user.id, session: wanted.session_id, spec }));
  });

  const ofRuntime = { schema: { body: runtimeBody } };
  app.post('/resume', ofRuntime, async ({ body, user }) =>
    show(await resumeSession(deps, findRuntime(deps, user.id, body.runtime_id))),
  );
  app.post('/pause', ofRuntime, async ({ body, user }) =>
    show(await pauseSession(deps, findRuntime(deps, user.id, body.runtime_id))),
  );
  app.post('/stop', ofRuntime, async ({ body, user }) => {
    const sandbox = findRuntime(deps, user.id, body.runtime_id);
    await stopSession(deps, sandbox);
    return { ...show(sandbox), status: 'stopped' };
  });

  // Paused and stopped ones are left out: clients count what is here against their limit, and pause it.
  app.get('/list', ({ user }) => ({
    runtimes: sessionsOf(deps, user.id)
      .filter((sandbox) => ['starting', 'running'].includes(runtimeStatus(sandbox)))
      .map(show),
  }));

  app.get('/sessions/batch', { schema: { querystring: batchQuery } }, ({ query, user }) => {
    const { ids } = query;
    if (ids.length > MAX_IDS)
      throw new ApiError('too_many_ids', { text: `Too many ids requested. Maximum is ${MAX_IDS}.` });
    return [...new Set(ids)].flatMap((id) => {
      const sandbox = findSession(deps, user.id, id);
      return sandbox === undefined ? [] : [show(sandbox)];
    });
  });

  app.get('/sessions/:id', { schema: { params: idPath } }, ({ params, user }) => {
    const sandbox = findSession(deps, user.id, params.id);
    if (sandbox === undefined) throw new ApiError('no_runtime');
    return show(sandbox);
  });

  app.get('/runtime/:id', { schema: { params: idPath } }, ({ params, user }) =>
    show(findRuntime(deps, user.id, params.id)),
  );

  app.get('/registry_prefix', () => {
    if (config.runtimeRegistry === undefined) throw new ApiError('no_registry');
    return { registry_prefix: config.runtimeRegistry };
  });

  app.get('/image_exists', { schema: { querystring: imageQuery } }, async ({ query }) => {
    const { image } = query;
    if (templates.list().some(({ spec }) => spec.image === image)) return { exists: true, image: NOT_ASKED };
    return await images.look(image).catch((cause: unknown) => {
      if (cause instanceof RegistryError) throw new ApiError('registry_failed', { cause });
      throw cause;
    });
  });

  // Refused before its body, an archive, is read.
  const refuse = () => Promise.reject(new ApiError('no_builds'));
  app.post('/build', { onRequest: refuse }, refuse);
  app.get('/build_status', refuse);

  app.get('/api/warm-runtime-configs', () => ({ configs: showConfigs(templates.list()) }));
}

const NOT_ASKED = { upload_time: null, image_size_bytes: 0 };
