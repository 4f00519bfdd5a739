import { z } from 'zod';
import { sessionMark, signPass } from '../../contracts/tokens.js';
import { PORT_NAMES } from '../../contracts/ports.js';
import { entryUrl, type PortRef } from '../../contracts/urls.js';
import type { Sandbox } from '../../contracts/resources.js';
import type { Deps } from '../deps.js';
import type { Api } from '../http/schema.js';
import { ApiError } from '../http/errors.js';
import { sliceByOffset } from '../http/page.js';
import { idPath, limit, localPathSchema, pageId, repeated } from '../http/validate.js';
import type { User } from '../identity/identity.js';
import { mayHoldKeys } from '../identity/scopes.js';
import { newSandboxId, specFrom } from '../sandboxes/control.js';
import { createdAt, exposedUrls, keyOf, shownProgress, statusOf } from '../sandboxes/status.js';

const searchQuery = z.object({ page_id: pageId, limit: limit() });
const batchQuery = z.object({ id: repeated });
const createQuery = z.object({ sandbox_spec_id: z.string().max(253).optional() });
const deleteQuery = z.object({ sandbox_id: z.string().max(253) });
const entryBody = z.object({
  port: z.union([z.enum(PORT_NAMES as [string, ...string[]]), z.number().int().min(1).max(65535)]),
  path: localPathSchema,
});

const MAX_IDS = 100;
const PASS_SECONDS = 60;
/** How long a pause waits for the pod's end before it answers; it goes on anyway. */
const PAUSE_WAIT_MS = 10_000;
/** Events that are still with the agent are fetched before its pod goes. */
const CATCH_UP_MS = 2_000;

export function sandboxRoutes(app: Api, deps: Deps): void {
  const { directory, control, config } = deps;
  const own = (user: User, id: string): Sandbox => {
    const sandbox = directory.get(id);
    if (sandbox === undefined || sandbox.spec.owner !== user.id) throw new ApiError('not_found');
    return sandbox;
  };
  const show = (sandbox: Sandbox, user: User) => shown(deps, sandbox, user);

  app.get('/sandboxes/search', { schema: { querystring: searchQuery } }, ({ query, user }) => {
    const { limit: size, page_id } = query;
    const all = directory.ownedBy(user.id).sort(newestFirst);
    const page = sliceByOffset(all, page_id, size);
    return { ...page, items: page.items.map((sandbox) => show(sandbox, user)) };
  });

  app.get('/sandboxes', { schema: { querystring: batchQuery } }, ({ query, user }) => {
    const ids = query.id;
    if (ids.length > MAX_IDS)
      throw new ApiError('too_many_ids', { text: `Too many ids requested. Maximum is ${MAX_IDS}.` });
    return ids.map((id) => {
      const sandbox = directory.get(id);
      return sandbox?.spec.owner === user.id ? show(sandbox, user) : null;
    });
  });

  app.post('/sandboxes', { schema: { querystring: createQuery } }, async ({ query, user }) => {
    const { sandbox_spec_id } = query;
    const template = deps.templates
      .list()
      .find(({ metadata, spec }) => metadata.name === sandbox_spec_id || spec.image === sandbox_spec_id);
    const sandbox = await control.create({
      id: newSandboxId(),
      owner: user.id,
      spec: specFrom(template?.metadata.name ?? config.template),
    });
    return show(sandbox, user);
  });

  app.post('/sandboxes/:id/pause', { schema: { params: idPath } }, async ({ params, user }) => {
    own(user, params.id);
    await catchUpBeforeEnd(deps, params.id);
    await control.setRunState(params.id, 'Paused');
    const gone = (sandbox: Sandbox | undefined) =>
      ['PAUSED', 'MISSING'].includes(statusOf(sandbox)) ? true : undefined;
    await directory.waitFor(params.id, gone, AbortSignal.timeout(PAUSE_WAIT_MS)).catch(() => undefined);
    return { success: true };
  });

  app.post('/sandboxes/:id/resume', { schema: { params: idPath } }, async ({ params, user }) => {
    own(user, params.id);
    await control.setRunState(params.id, 'Running');
    return { success: true };
  });

  // The recorded server reads the query, not the path; both must say the same here.
  app.delete(
    '/sandboxes/:id',
    { schema: { params: idPath, querystring: deleteQuery } },
    async ({ params, query, user }) => {
      const { sandbox_id } = query;
      if (sandbox_id !== params.id) throw new ApiError('not_found');
      own(user, params.id);
      await control.remove(params.id);
      return { success: true };
    },
  );

  app.get('/sandboxes/:id/progress', { schema: { params: idPath } }, ({ params, user }) =>
    shownProgress(own(user, params.id)),
  );

  app.post('/sandboxes/:id/entry', { schema: { params: idPath, body: entryBody } }, ({ params, body, user }) => {
    const { port, path } = body;
    return { url: ownersUrl(deps, own(user, params.id), { port: port as PortRef, path, user }) };
  });
}

/** A URL at the gateway that lets one browser into one port, for a minute. Throws ApiError 409 before there is a pod. */
function ownersUrl(
  { config, clock }: Deps,
  sandbox: Sandbox,
  wanted: { port: PortRef; path: string; user: User },
): string {
  const { slot, keyEpoch = 0 } = sandbox.status ?? {};
  if (slot === undefined || statusOf(sandbox) !== 'RUNNING') throw new ApiError('sandbox_not_running');
  const exp = Math.floor(clock.now() / 1000) + PASS_SECONDS;
  const { id: owner, credential } = wanted.user;
  const pass = signPass(config.secrets[0], {
    use: 'entry',
    slot,
    owner,
    ...(credential === undefined ? {} : { session: sessionMark(credential) }),
    iat: clock.now(),
    epoch: keyEpoch,
    exp,
  });
  return entryUrl(config.gateway, { slot, port: wanted.port, pass, to: wanted.path });
}

function shown({ config, templates }: Deps, sandbox: Sandbox, user: User): Record<string, unknown> {
  const status = statusOf(sandbox);
  const secret = config.secrets[0];
  const image =
    sandbox.spec.image ?? templates.list().find(({ metadata }) => metadata.name === sandbox.spec.template)?.spec.image;
  return {
    id: sandbox.metadata.name,
    created_by_user_id: user.shown,
    sandbox_spec_id: image ?? sandbox.spec.template ?? 'built-in',
    status,
    session_api_key: status === 'RUNNING' && mayHoldKeys(user) ? (keyOf(sandbox, secret) ?? null) : null,
    // VS Code's address holds its key.
    exposed_urls: mayHoldKeys(user)
      ? exposedUrls(sandbox, { gateway: config.gateway, secret, folder: '/workspace/project' })
      : null,
    created_at: createdAt(sandbox),
  };
}

function newestFirst(a: Sandbox, b: Sandbox): number {
  const key = ({ metadata }: Sandbox) => `${metadata.creationTimestamp ?? ''} ${metadata.name}`;
  return key(a) < key(b) ? 1 : -1;
}

async function catchUpBeforeEnd({ db, catchUp, log }: Deps, sandboxId: string): Promise<void> {
  const rows = await db.prisma.conversation.findMany({ where: { sandboxId }, select: { id: true }, take: 20 });
  const limit = AbortSignal.timeout(CATCH_UP_MS);
  await Promise.all(
    rows.map(({ id }) =>
      catchUp
        .now(id, limit)
        .catch((error: unknown) => log.debug({ err: error, conversation_id: id }, 'no catching up before the pause')),
    ),
  );
}
