import { z } from 'zod';
import type { Deps } from '../deps.js';
import type { Api } from '../http/schema.js';
import { checkedHost, checkToken } from '../git/check.js';
import { ApiError } from '../http/errors.js';
import { pageOf, readCursor } from '../http/page.js';
import { idPath, limit, pageId } from '../http/validate.js';
import { MAX_SECRETS, secretPlace, tokenPlace } from '../settings/secrets.js';
import { providerSchema } from '../start/request.js';

const name = z
  .string()
  .max(200)
  .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "String should match pattern '^[A-Za-z_][A-Za-z0-9_]*$'");
const description = z.string().max(2000).nullish();
const searchQuery = z.object({ name__contains: z.string().max(200).optional(), page_id: pageId, limit: limit() });
const createBody = z.object({ name, value: z.string().max(100_000), description });
const changeBody = z.object({ name, description });
const host = z
  .string()
  .max(253)
  // Behind the slash: an organization of Azure DevOps.
  .regex(/^[a-z0-9.-]+(:[0-9]{1,5})?(\/[a-z0-9][\w.-]*)?$/i, 'Input should be host[:port]')
  .nullish();
const providersBody = z.object({
  provider_tokens: z
    .partialRecord(
      providerSchema,
      z.object({ token: z.string().max(10_000).nullish(), user_id: z.string().nullish(), host }),
    )
    .default({}),
});

export function secretRoutes(app: Api, { box, gitDispatcher }: Deps): void {
  app.get('/secrets/search', { schema: { querystring: searchQuery } }, async ({ query, owned }) => {
    const { limit: size, page_id, name__contains } = query;
    const [after] = readCursor(page_id, 1) ?? [];
    const rows = await owned.secret.findMany({
      where: {
        name: {
          ...(name__contains === undefined ? {} : { contains: name__contains }),
          ...(after === undefined ? {} : { gt: after }),
        },
      },
      orderBy: { name: 'asc' },
      select: { name: true, description: true },
      take: size + 1,
    });
    return pageOf(rows, size, (row) => [row.name]);
  });

  // A name that is there is overwritten, and keeps its description when none is sent, as recorded.
  app.post('/secrets', { schema: { body: createBody } }, async ({ body: wanted, owned, user }, reply) => {
    const ownerId = user.id;
    if ((await owned.secret.count()) >= MAX_SECRETS)
      throw new ApiError('bad_secret', { text: `No more than ${MAX_SECRETS} secrets.` });
    const value = box.seal(wanted.value, secretPlace(ownerId, wanted.name));
    await owned.secret.upsert({
      where: { ownerId_name: { ownerId, name: wanted.name } },
      create: { ownerId, name: wanted.name, value, description: wanted.description ?? null },
      update: { value, ...(wanted.description == null ? {} : { description: wanted.description }) },
    });
    return reply.status(201).send({ message: 'Secret created successfully' });
  });

  app.put(
    '/secrets/:id',
    { schema: { params: idPath, body: changeBody } },
    async ({ params, body: wanted, owned, user }) => {
      const row = await owned.secret.findFirst({ where: { name: params.id } });
      if (row === null) throw new ApiError('secret_not_found');
      const renamed = wanted.name !== row.name;
      if (renamed && (await owned.secret.count({ where: { name: wanted.name } })) > 0)
        throw new ApiError('bad_secret', { text: `Secret ${wanted.name} already exists` });
      // The value is sealed to its name.
      const value = renamed
        ? box.seal(box.open(row.value, secretPlace(user.id, row.name)), secretPlace(user.id, wanted.name))
        : row.value;
      await owned.secret.updateMany({
        where: { name: row.name },
        data: { name: wanted.name, value, description: wanted.description ?? null },
      });
      return { message: 'Secret updated successfully' };
    },
  );

  app.delete('/secrets/:id', { schema: { params: idPath } }, async ({ params, owned }) => {
    const { count } = await owned.secret.deleteMany({ where: { name: params.id } });
    if (count === 0) throw new ApiError('secret_not_found');
    return { message: 'Secret deleted successfully' };
  });

  /** A token that its provider refuses is not stored; one that cannot be asked now is, and the answer says so. */
  app.post('/secrets/git-providers', { schema: { body: providersBody } }, async ({ body, owned, user }) => {
    const given = Object.entries(body.provider_tokens).flatMap(([provider, entry]) =>
      entry?.token == null || entry.token === ''
        ? []
        : [{ provider, token: entry.token, host: checkedHost(user, provider, entry.host ?? null) }],
    );
    const unasked = await Promise.all(
      given.map(({ provider, ...access }) => checkToken(provider, access, gitDispatcher)),
    );
    for (const { provider, ...access } of given) {
      const data = { token: box.seal(access.token, tokenPlace(user.id, provider)), host: access.host };
      await owned.providerToken.upsert({
        where: { ownerId_provider: { ownerId: user.id, provider } },
        create: { ownerId: user.id, provider, ...data },
        update: data,
      });
    }
    const notes = unasked.filter((note) => note !== undefined);
    return { message: ['Git providers stored', ...notes].join('. ') };
  });

  app.delete('/secrets/git-providers', async ({ owned }) => {
    await owned.providerToken.deleteMany({});
    return { message: 'Unset Git provider tokens' };
  });
}
