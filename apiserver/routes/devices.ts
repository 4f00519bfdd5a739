/** Device login, RFC 8628, under the paths where OpenHands' clients look for it. `identity/devices.ts` has the rules. */
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Deps } from '../deps.js';
import { ApiError } from '../http/errors.js';
import type { Api } from '../http/schema.js';
import { createDeviceLogins, INTERVAL_SECONDS } from '../identity/devices.js';

/** Page of the UI where a person lets a program in. */
const PAGE = '/oauth/device/verify';
const GRANT = 'urn:ietf:params:oauth:grant-type:device_code';
const BODY_LIMIT = 4096;

const tokenBody = z.object({ grant_type: z.string(), device_code: z.string().min(1).max(200) });

/** For programs, before they are anybody's. */
export function deviceRoutes(app: Api, { db, clock, config }: Deps): void {
  const logins = createDeviceLogins({ prisma: db.prisma, clock });
  const { publicUrl } = config.identity;
  void app.register((scope, _options, done) => {
    formBodies(scope);
    scope.post('/oauth/device/authorize', async (request, reply) => {
      const grant = await logins.begin();
      if (grant === undefined) throw new ApiError('too_many_device_logins');
      const page = `${publicUrl ?? ownAddress(request)}${PAGE}`;
      return reply.header('cache-control', 'no-store').send({
        device_code: grant.deviceCode,
        user_code: grant.userCode,
        verification_uri: page,
        verification_uri_complete: `${page}?user_code=${grant.userCode}`,
        expires_in: grant.expiresIn,
        interval: INTERVAL_SECONDS,
      });
    });

    scope.post('/oauth/device/token', async (request, reply) => {
      reply.header('cache-control', 'no-store');
      const body = tokenBody.safeParse(request.body).data;
      if (body === undefined) return reply.status(400).send({ error: 'invalid_request' });
      if (body.grant_type !== GRANT) return reply.status(400).send({ error: 'unsupported_grant_type' });
      const redeemed = await logins.redeem(body.device_code);
      if ('problem' in redeemed) return reply.status(400).send({ error: redeemed.problem });
      return { access_token: redeemed.key, token_type: 'Bearer', expires_in: redeemed.expiresIn };
    });
    done();
  });
}

const codePath = z.object({ code: z.string().max(50) });
const decideBody = z.object({ allow: z.boolean() });

/** For the person. A key cannot let others in: one that leaks would live on in theirs. */
export function deviceLoginRoutes(app: Api, { db, clock }: Deps): void {
  const logins = createDeviceLogins({ prisma: db.prisma, clock });
  app.post(
    '/device-logins/:code',
    { config: { need: 'session' }, schema: { params: codePath, body: decideBody } },
    async ({ params, body, user }) => {
      const letters = params.code.toUpperCase().replace(/[^A-Z]/g, '');
      const code = `${letters.slice(0, 4)}-${letters.slice(4)}`;
      if (!(await logins.decide(code, user.id, body.allow))) throw new ApiError('no_device_login');
      return { allowed: body.allow };
    },
  );
}

/** Single-user mode on loopback: its guard has made sure that the name is one of this machine. */
const ownAddress = ({ protocol, headers }: FastifyRequest) => `${protocol}://${headers.host ?? 'localhost'}`;

function formBodies(scope: Api): void {
  scope.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'string', bodyLimit: BODY_LIMIT },
    (_request, body, done) => done(null, Object.fromEntries(new URLSearchParams(String(body)))),
  );
}
