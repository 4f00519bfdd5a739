/** Settings in the database: one sealed document a user, changed by compare-and-set so that no save undoes another. */
import type { Box } from '../db/box.js';
import type { OwnedDb } from '../db/owned.js';
import { ApiError } from '../http/errors.js';
import { emptySettings, type StoredSettings } from './model.js';

export interface SettingsStore {
  /** undefined: a new user. */
  read(): Promise<StoredSettings | undefined>;
  /** Applies a pure change to what is stored (or to nothing) and answers the result. */
  change(apply: (stored: StoredSettings) => StoredSettings): Promise<StoredSettings>;
}

export const settingsPlace = (ownerId: string): string => `settings/${ownerId}`;

const ATTEMPTS = 10;

export function settingsStore(db: OwnedDb, box: Box, ownerId: string): SettingsStore {
  const place = settingsPlace(ownerId);
  const readRow = async () => {
    const row = await db.settings.findUnique({ where: { ownerId } });
    if (row === null) return undefined;
    const stored = { ...emptySettings(), ...(JSON.parse(box.open(row.sealed, place)) as StoredSettings) };
    return { stored, revision: row.revision };
  };
  return {
    read: async () => (await readRow())?.stored,
    async change(apply) {
      for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
        const row = await readRow();
        const next = apply(row?.stored ?? emptySettings());
        const sealed = box.seal(JSON.stringify(next), place);
        const written =
          row === undefined
            ? await db.settings.createMany({ data: [{ ownerId, sealed }], skipDuplicates: true })
            : await db.settings.updateMany({
                where: { revision: row.revision },
                data: { sealed, revision: row.revision + 1 },
              });
        if (written.count === 1) return next;
      }
      throw new ApiError('internal', { text: 'Too many saves at the same time; try again.' });
    },
  };
}
