import { ApiError } from '../api/http';
import { getSettings, type Settings } from '../api/platform';

/** The model that needs no key: it runs the lines that one writes as shell commands. */
export const LINE_RUNNER = 'builtin/line-runner';

/** A new user has no settings yet: the server says 404. */
export async function readSettings(): Promise<Settings | null> {
  try {
    return await getSettings();
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}
