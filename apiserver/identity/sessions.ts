/** Sessions of browsers, in the database: any replica knows them, and the end of one is the end everywhere. */
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import type { Clock } from '../../kube/types.js';
import type { Logger } from '../../process/log.js';
import { SealedError, type Box } from '../db/box.js';
import type { Prisma, PrismaClient, Session, User as UserRow } from '../db/generated/client.js';
import { admit, personOf, userIdOf, type Person } from './claims.js';
import { ProviderError, type Login, type Provider } from './provider.js';
import type { OidcSettings, SessionSettings } from './settings.js';

export interface Sessions {
  /** Takes the user up and opens a session. Throws Refused. */
  open(login: Login): Promise<string>;
  /** The session and its user while both are good; asks the provider again when it is time. */
  use(id: string): Promise<{ session: Session; user: UserRow } | undefined>;
  /** Ends one; answers its ID token. The row stays until endings.ts has told the gateways. */
  end(id: string): Promise<{ idToken: string | undefined }>;
  /** Ends those of a provider's session, or of all of a person's. */
  endOf(ended: { sid: string | undefined; subject: string | undefined }): Promise<number>;
  endOfUser(userId: string): Promise<number>;
}

/** A login that the provider confirmed and this server does not want. */
export class Refused extends Error {
  override readonly name = 'Refused';
  constructor(readonly reason: 'not_listed' | 'disabled') {
    super(`login refused: ${reason}`);
  }
}

export interface SessionsOptions {
  prisma: PrismaClient;
  box: Box;
  clock: Pick<Clock, 'now'>;
  log: Logger;
  provider: Provider;
  oidc: OidcSettings;
  times: SessionSettings;
  /** To be called when some have ended. */
  ended: () => void;
}

/** `seen_at` is as fine as this. */
export const SEEN_MS = 60_000;
/** The provider is asked a little before the access token ends, never more often than this, and again after this when it fails. */
const EARLY_MS = 10_000;
const REFRESH_MIN_MS = 30_000;
const REFRESH_DEFAULT_S = 300;

const tokensSchema = z.object({ idToken: z.string().optional(), refreshToken: z.string().optional() });
type Tokens = z.infer<typeof tokensSchema>;

export const sessionPlace = (id: string): string => `sessions/${id}`;

export function createSessions(options: SessionsOptions): Sessions {
  const { prisma, box, clock, oidc, times } = options;
  const now = () => new Date(clock.now());
  const later = (ms: number) => new Date(clock.now() + ms);
  const seal = (id: string, tokens: Tokens) => box.seal(JSON.stringify(tokens), sessionPlace(id));
  const tokensOf = (session: Session): Tokens => {
    try {
      return tokensSchema.parse(JSON.parse(box.open(session.tokens, sessionPlace(session.id))));
    } catch (error) {
      if (error instanceof SealedError) return {};
      throw error;
    }
  };
  const refreshAt = ({ refreshToken, seconds }: Login): Date | null =>
    refreshToken === undefined
      ? null
      : later(Math.max((seconds ?? REFRESH_DEFAULT_S) * 1000 - EARLY_MS, REFRESH_MIN_MS));
  const endWhere = async (where: Prisma.SessionWhereInput): Promise<number> => {
    // Also for those that are over by their time: what they opened ends with them.
    const { count } = await prisma.session.updateMany({ where: { ...where, endedAt: null }, data: { endedAt: now() } });
    if (count > 0) options.ended();
    return count;
  };
  const end = async (id: string) => {
    const row = await prisma.session.findUnique({ where: { id } });
    await endWhere({ id });
    return { idToken: row === null ? undefined : tokensOf(row).idToken };
  };

  /** Undefined when the session ended with it. */
  async function refreshed(session: Session): Promise<Session | undefined> {
    // One replica and one request asks; the others go on with what is there.
    const claimed = await prisma.session.updateMany({
      where: { id: session.id, refreshAt: session.refreshAt },
      data: { refreshAt: later(REFRESH_MIN_MS) },
    });
    if (claimed.count === 0) return session;
    try {
      const { refreshToken, idToken } = tokensOf(session);
      const user = await prisma.user.findUniqueOrThrow({ where: { id: session.ownerId } });
      if (refreshToken === undefined) return void (await end(session.id));
      const login = await options.provider.refresh(refreshToken, user.subject ?? '');
      if (login.claims !== undefined)
        await takeUp(options, personOf(login.claims, oidc.groupsClaims), { isLogin: false });
      const tokens = { idToken: login.idToken ?? idToken, refreshToken: login.refreshToken ?? refreshToken };
      const data = { tokens: seal(session.id, tokens), refreshAt: refreshAt({ ...login, refreshToken }) };
      await prisma.session.updateMany({ where: { id: session.id }, data });
      return { ...session, ...data };
    } catch (error) {
      const isOver = error instanceof Refused || (error instanceof ProviderError && error.kind === 'refused');
      options.log.info({ err: error, user_id: session.ownerId }, isOver ? 'session ended' : 'session not refreshed');
      // A provider that is away for a moment logs nobody out; the session's own end stays.
      return isOver ? void (await end(session.id)) : session;
    }
  }

  return {
    async open(login) {
      const person = personOf(login.claims ?? {}, oidc.groupsClaims);
      const ownerId = await takeUp(options, person, { isLogin: true });
      const id = randomBytes(24).toString('base64url');
      const { idToken, refreshToken } = login;
      await prisma.session.create({
        data: {
          id,
          ownerId,
          providerSession: person.providerSession ?? null,
          tokens: seal(id, {
            ...(idToken === undefined ? {} : { idToken }),
            ...(refreshToken === undefined ? {} : { refreshToken }),
          }),
          refreshAt: refreshAt(login),
          seenAt: now(),
          expiresAt: later(times.maxMs),
        },
      });
      return id;
    },
    async use(id) {
      const found = await prisma.session.findUnique({ where: { id } });
      if (found === null || found.endedAt !== null) return undefined;
      if (!isAlive(found, { now: now(), idleMs: times.idleMs })) return void (await end(id));
      const session = found.refreshAt !== null && found.refreshAt <= now() ? await refreshed(found) : found;
      if (session === undefined) return undefined;
      if (clock.now() - session.seenAt.getTime() > SEEN_MS)
        await prisma.session.updateMany({ where: { id }, data: { seenAt: now() } });
      const user = await prisma.user.findUnique({ where: { id: session.ownerId } });
      return user === null || user.disabledAt !== null ? undefined : { session, user };
    },
    end,
    async endOf({ sid, subject }) {
      const ownerId = subject === undefined ? undefined : userIdOf(oidc.issuer, subject);
      return await endWhere({
        ...(ownerId === undefined ? {} : { ownerId }),
        // One that does not say which of the provider's sessions it is from may be this one's: it ends with its person's.
        ...(sid === undefined
          ? {}
          : { OR: [{ providerSession: sid }, ...(ownerId === undefined ? [] : [{ providerSession: null }])] }),
      });
    },
    endOfUser: (ownerId) => endWhere({ ownerId }),
  };
}

/** Pure: neither over nor unused for too long. */
export function isAlive(
  { seenAt, expiresAt }: Pick<Session, 'seenAt' | 'expiresAt'>,
  { now, idleMs }: { now: Date; idleMs: number },
): boolean {
  // Being seen is written once a minute only.
  return expiresAt > now && now.getTime() - seenAt.getTime() <= idleMs + SEEN_MS;
}

/** Writes what the provider says of a person; answers the user's id. Throws Refused. */
async function takeUp(
  { prisma, oidc, clock }: SessionsOptions,
  person: Person,
  { isLogin }: { isLogin: boolean },
): Promise<string> {
  const roles = admit(person, oidc);
  if (roles === undefined) throw new Refused('not_listed');
  const id = userIdOf(oidc.issuer, person.subject);
  const known = {
    roles,
    email: person.address ?? null,
    name: person.name ?? null,
    ...(isLogin ? { lastLoginAt: new Date(clock.now()) } : {}),
  };
  const row = await prisma.user.upsert({
    where: { id },
    create: { id, issuer: oidc.issuer, subject: person.subject, ...known },
    update: known,
  });
  if (row.disabledAt !== null) throw new Refused('disabled');
  return id;
}
