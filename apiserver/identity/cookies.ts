/**
 * Cookies of ours: encrypted tokens (JWE, A256GCM) that any replica can open and nobody can read, change, or use for another
 * purpose. The first secret seals; the one before still opens, so that a rotation logs nobody out.
 */
import { createHash, hkdfSync } from 'node:crypto';
import type { FastifyReply } from 'fastify';
import { EncryptJWT, jwtDecrypt } from 'jose';

export interface CookieKeys {
  seal(purpose: string, content: Record<string, unknown>, seconds: number): Promise<string>;
  /** Undefined when it is not ours, changed, of another purpose, or over. `isOld`: sealed with an earlier secret. */
  open(purpose: string, text: string): Promise<{ content: Record<string, unknown>; isOld: boolean } | undefined>;
}

const MAX_LENGTH = 4096;

export function createCookieKeys(secrets: readonly [string, ...string[]]): CookieKeys {
  const keys = secrets.map(keyOf);
  const current = keys[0]!;
  return {
    seal: (purpose, content, seconds) =>
      new EncryptJWT(content)
        .setProtectedHeader({ alg: 'dir', enc: 'A256GCM', kid: current.id })
        .setAudience(purpose)
        .setIssuedAt()
        .setExpirationTime(`${seconds} seconds`)
        .encrypt(current.bytes),
    async open(purpose, text) {
      if (text.length > MAX_LENGTH) return undefined;
      let used: string | undefined;
      try {
        const keyFor = ({ kid }: { kid?: string }): Uint8Array => {
          used = kid;
          const key = keys.find(({ id }) => id === kid);
          if (key === undefined) throw new Error('sealed with an unknown key');
          return key.bytes;
        };
        const { payload } = await jwtDecrypt(text, keyFor, {
          audience: purpose,
          keyManagementAlgorithms: ['dir'],
          contentEncryptionAlgorithms: ['A256GCM'],
          requiredClaims: ['exp'],
        });
        return { content: payload, isOld: used !== current.id };
      } catch {
        // Whatever is wrong with it, it is no cookie of ours.
        return undefined;
      }
    },
  };
}

function keyOf(secret: string): { id: string; bytes: Uint8Array } {
  const bytes = new Uint8Array(hkdfSync('sha256', secret, '', 'sandlot cookies', 32));
  return { id: createHash('sha256').update(bytes).digest('hex').slice(0, 8), bytes };
}

/** Cookies for this host and this origin alone: over https browsers hold the `__Host-` prefix to that. */
export interface CookieJar {
  nameOf(name: string): string;
  set(reply: FastifyReply, cookie: { name: string; value: string; seconds: number }): void;
  clear(reply: FastifyReply, name: string): void;
}

export function createCookieJar(publicUrl: string): CookieJar {
  const secure = publicUrl.startsWith('https:');
  const nameOf = (name: string) => (secure ? `__Host-${name}` : name);
  const rules = { path: '/', httpOnly: true, secure, sameSite: 'lax' } as const;
  return {
    nameOf,
    set: (reply, { name, value, seconds }) => void reply.setCookie(nameOf(name), value, { ...rules, maxAge: seconds }),
    clear: (reply, name) => void reply.setCookie(nameOf(name), '', { ...rules, maxAge: 0 }),
  };
}
