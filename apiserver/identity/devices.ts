/**
 * Logins of programs that cannot be redirected to (RFC 8628): the program shows a short code, a logged-in person allows it,
 * and the program, which asks all the while, gets an API key of that person. OpenHands' own clients log in like this.
 */
import { randomBytes } from 'node:crypto';
import type { PrismaClient } from '../db/generated/client.js';
import type { Clock } from '../../kube/types.js';
import { digestOf, newUserCode } from './credentials.js';
import { issueKey } from './keys.js';

/** How long a code is good. */
const LIFE_MS = 600_000;
/** How often a program may ask. */
export const INTERVAL_SECONDS = 5;
/** A program that keeps to the interval is not told off for a fast network. */
const SLACK_MS = 1000;
/** The key that comes out; it is in the list of keys, where it can be revoked before. */
const KEY_DAYS = 90;
/** Logins that wait at the same time: anybody may begin one. */
const MAX_WAITING = 10_000;

export interface DeviceGrant {
  deviceCode: string;
  userCode: string;
  expiresIn: number;
}

/** RFC 8628, section 3.5. */
export type DeviceProblem = 'authorization_pending' | 'slow_down' | 'expired_token' | 'access_denied';

export type Redeemed = { key: string; expiresIn: number } | { problem: DeviceProblem };

export interface DeviceLogins {
  /** Undefined when too many wait. */
  begin(): Promise<DeviceGrant | undefined>;
  /** A person's answer, once; false for a code that nobody waits with. */
  decide(userCode: string, ownerId: string, allow: boolean): Promise<boolean>;
  /** The key is made here, so that it is nowhere kept: who loses the answer begins anew. */
  redeem(deviceCode: string): Promise<Redeemed>;
}

type Db = Pick<PrismaClient, 'deviceLogin' | 'apiKey' | 'user'>;

export function createDeviceLogins({ prisma, clock }: { prisma: Db; clock: Pick<Clock, 'now'> }): DeviceLogins {
  const at = (ms = 0) => new Date(clock.now() + ms);
  return {
    async begin() {
      await prisma.deviceLogin.deleteMany({ where: { expiresAt: { lte: at() } } });
      if ((await prisma.deviceLogin.count()) >= MAX_WAITING) return undefined;
      const deviceCode = randomBytes(32).toString('base64url');
      const userCode = newUserCode();
      await prisma.deviceLogin.create({ data: { id: digestOf(deviceCode), userCode, expiresAt: at(LIFE_MS) } });
      return { deviceCode, userCode, expiresIn: LIFE_MS / 1000 };
    },

    async decide(userCode, ownerId, allow) {
      const { count } = await prisma.deviceLogin.updateMany({
        where: { userCode, state: 'pending', expiresAt: { gt: at() } },
        data: { ownerId, state: allow ? 'allowed' : 'denied' },
      });
      return count > 0;
    },

    async redeem(deviceCode) {
      const id = digestOf(deviceCode);
      const row = await prisma.deviceLogin.findUnique({ where: { id } });
      if (row === null || row.expiresAt <= at()) return { problem: 'expired_token' };
      if (row.state === 'pending') {
        await prisma.deviceLogin.updateMany({ where: { id }, data: { polledAt: at() } });
        const isEarly = row.polledAt !== null && row.polledAt > at(SLACK_MS - INTERVAL_SECONDS * 1000);
        return { problem: isEarly ? 'slow_down' : 'authorization_pending' };
      }
      // Of two that ask with one code, one gets the key.
      const { count } = await prisma.deviceLogin.deleteMany({ where: { id } });
      if (count === 0 || row.state !== 'allowed' || row.ownerId === null) return { problem: 'access_denied' };
      return await keyFor(row.ownerId);
    },
  };

  async function keyFor(ownerId: string): Promise<Redeemed> {
    const owner = await prisma.user.findUnique({ where: { id: ownerId } });
    if (owner?.disabledAt !== null) return { problem: 'access_denied' };
    const expiresIn = KEY_DAYS * 86_400;
    const name = 'Device login';
    const made = await issueKey(prisma, {
      ownerId,
      name,
      scopes: ['full'],
      notBefore: null,
      expiresAt: at(expiresIn * 1000),
    });
    return made === undefined ? { problem: 'access_denied' } : { key: made.key, expiresIn };
  }
}
