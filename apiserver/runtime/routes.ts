/**
 * The Runtime API, as OpenHands' remote runtime and remote sandbox clients use it: sandboxes for another app server, each
 * under a session id of the caller's. A key is a tenant: it sees its own user's sessions alone.
 */
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { Deps } from '../deps.js';
import { ApiError } from '../http/errors.js';
import { parse, repeated } from '../http/validate.js';
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

export function runtimeRoutes(app: FastifyInstance, deps: Deps): void {
  const { config, templates, images } = deps;
  const show = (sandbox: Sandbox) => showRuntime(sandbox, { gateway: config.gateway, secret: config.secrets[0] });

  app.post('/start', async ({ body, user }) => {
    const wanted = parse(startBody, body ?? {}, 'body');
    const spec = specOf(wanted, {
      templates: templates.list(),
      fallback: config.template,
      runtimeClasses: config.runtimeClasses,
    });
    return show(await startSession(deps, { owner: user.id, session: wanted.session_id, spec }));
  });

  app.post('/resume', async ({ body, user }) => show(await resumeSession(deps, wantedRuntime(deps, user.id, body))));
  app.post('/pause', async ({ body, user }) => show(await pauseSession(deps, wantedRuntime(deps, user.id, body))));
  app.post('/stop', async ({ body, user }) => {
    const sandbox = wantedRuntime(deps, user.id, body);
    await stopSession(deps, sandbox);
    return { ...show(sandbox), status: 'stopped' };
  });

  // Paused and stopped ones are left out: clients count what is here against their limit, and pause it.
  app.get('/list', ({ user }) => ({
    runtimes: sessionsOf(deps, user.id)
      .filter((sandbox) => ['starting', 'running'].includes(runtimeStatus(sandbox)))
      .map(show),
  }));

  app.get('/sessions/batch', ({ query, user }) => {
    const { ids } = parse(batchQuery, query, 'query');
    if (ids.length > MAX_IDS)
      throw new ApiError('too_many_ids', { text: `Too many ids requested. Maximum is ${MAX_IDS}.` });
    return [...new Set(ids)].flatMap((id) => {
      const sandbox = findSession(deps, user.id, id);
      return sandbox === undefined ? [] : [show(sandbox)];
    });
  });

  app.get<{ Params: { id: string } }>('/sessions/:id', ({ params, user }) => {
    const sandbox = findSession(deps, user.id, params.id);
    if (sandbox === undefined) throw new ApiError('no_runtime');
    return show(sandbox);
  });

  app.get<{ Params: { id: string } }>('/runtime/:id', ({ params, user }) =>
    show(findRuntime(deps, user.id, params.id)),
  );

  app.get('/registry_prefix', () => {
    if (config.runtimeRegistry === undefined) throw new ApiError('no_registry');
    return { registry_prefix: config.runtimeRegistry };
  });

  app.get('/image_exists', async ({ query }) => {
    const { image } = parse(imageQuery, query, 'query');
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

function wantedRuntime(deps: Deps, owner: string, body: unknown): Sandbox {
  return findRuntime(deps, owner, parse(runtimeBody, body ?? {}, 'body').runtime_id);
}
