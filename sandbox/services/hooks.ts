import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

const MAX_BYTES = 1 << 20;

/** The hooks of a repository (`.openhands/hooks.json`); null when there are none or the file is no JSON object. */
export async function readHooks(folder: string): Promise<Record<string, unknown> | null> {
  try {
    const text = await readFile(join(folder, '.openhands', 'hooks.json'), 'utf8');
    if (text.length > MAX_BYTES) return null;
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}
