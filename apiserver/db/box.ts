/**
 * Secrets at rest: AES-256-GCM under a key derived from the installation's secret, which is not in the database.
 * Form: `<key id>.<nonce>.<tag>.<ciphertext>`, base64url. The key id tells which secret made it, so that a rotation can
 * read old values with the old secret and write new ones. The place (`table/owner/name`) is bound in: a value copied to
 * another row does not open.
 */
import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';

export interface Box {
  /** The key that seals: what a sealed value begins with, before its first dot. */
  readonly keyId: string;
  seal(text: string, place: string): string;
  /** Throws SealedError when the key is unknown, or the value was changed or moved. */
  open(sealed: string, place: string): string;
}

export class SealedError extends Error {
  override readonly name = 'SealedError';
}

/** Never empty: the first is used for what is new. */
export type Keys = readonly [string, ...string[]];

/** `secrets[0]` seals; the others open what earlier installations' secrets sealed. */
export function createBox(secrets: Keys): Box {
  const keys = secrets.map(keyOf);
  const byId = new Map(keys.map((key) => [key.id, key.bytes]));
  const current = keys[0]!;
  return {
    keyId: current.id,
    seal(text, place) {
      const nonce = randomBytes(12);
      const cipher = createCipheriv('aes-256-gcm', current.bytes, nonce).setAAD(Buffer.from(place));
      const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
      return [current.id, ...[nonce, cipher.getAuthTag(), body].map((part) => part.toString('base64url'))].join('.');
    },
    open(sealed, place) {
      const [id = '', nonce = '', tag = '', body = ''] = sealed.split('.');
      const key = byId.get(id);
      if (key === undefined)
        throw new SealedError(
          `sealed with an unknown key (${id}): was it taken from SANDLOT_DATA_KEYS or SANDLOT_SECRET_OLD too early?`,
        );
      try {
        const decipher = createDecipheriv('aes-256-gcm', key, Buffer.from(nonce, 'base64url'), { authTagLength: 16 })
          .setAAD(Buffer.from(place))
          .setAuthTag(Buffer.from(tag, 'base64url'));
        return decipher.update(Buffer.from(body, 'base64url'), undefined, 'utf8') + decipher.final('utf8');
      } catch (cause) {
        throw new SealedError('a stored secret was changed or belongs elsewhere', { cause });
      }
    },
  };
}

function keyOf(secret: string): { id: string; bytes: Buffer } {
  const bytes = Buffer.from(hkdfSync('sha256', secret, '', 'sandlot secrets at rest', 32));
  return { id: createHash('sha256').update(bytes).digest('hex').slice(0, 8), bytes };
}
