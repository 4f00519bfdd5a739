/** What is installed for all conversations of a sandbox: plugins and skills, each in a folder of the user's home. */
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { badRequest } from '../../http/errors.js';
import { readMatter } from '../frontmatter.js';
import { loadPlugin } from '../plugins/load.js';

export interface Facts {
  name: string;
  version: string;
  description: string;
}

export interface Kind {
  word: 'plugin' | 'skill';
  /** Below the home, as in the OpenHands agent server. */
  folder: string;
  /** Throws HttpError when the folder holds none. */
  read(path: string): Promise<Facts>;
}

const MAX_BYTES = 256 << 10;
const textOf = (value: unknown): string => (typeof value === 'string' || typeof value === 'number' ? `${value}` : '');

export const PLUGINS: Kind = {
  word: 'plugin',
  folder: '.openhands/plugins/installed',
  read: async (path) => {
    const { name, version, description } = (await loadPlugin(path)).manifest;
    return { name, version, description };
  },
};

export const SKILLS: Kind = {
  word: 'skill',
  folder: '.openhands/skills/installed',
  async read(path) {
    const text = await readFile(join(path, 'SKILL.md'), 'utf8').catch(() => undefined);
    if (text === undefined || text.length > MAX_BYTES) throw badRequest('there is no SKILL.md of at most 256 KiB');
    const head = headOf(text);
    const metadata = (head['metadata'] ?? {}) as Record<string, unknown>;
    return {
      name: textOf(head['name']) || basename(path),
      version: textOf(head['version'] ?? metadata['version']),
      description: textOf(head['description']),
    };
  },
};

function headOf(text: string): Record<string, unknown> {
  try {
    return readMatter(text).head;
  } catch {
    throw badRequest('the head of SKILL.md is not YAML');
  }
}
