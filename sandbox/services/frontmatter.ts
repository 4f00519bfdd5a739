/** Markdown with a head of YAML between lines of `---`. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';

export interface Matter {
  /** Empty when there is no head, or one that is no mapping. */
  head: Record<string, unknown>;
  body: string;
}

const MAX_CHARACTERS = 256 << 10;
const MAX_FILES = 200;

/** Pure. Throws for a head that is not YAML. */
export function readMatter(text: string): Matter {
  const found = /^---\r?\n([\s\S]*?)\r?\n---(?:\r?\n|$)/.exec(text);
  if (found === null) return { head: {}, body: text.trim() };
  // Aliases of aliases make a small file a huge value.
  const head: unknown = parse(found[1] ?? '', { maxAliasCount: 50 });
  const mapping = typeof head === 'object' && head !== null && !Array.isArray(head);
  return { head: mapping ? (head as Record<string, unknown>) : {}, body: text.slice(found[0].length).trim() };
}

/** The `.md` files of a folder, by name, without READMEs, folders and files beyond 256 KiB; none when it is not there. */
export async function markdownFiles(folder: string): Promise<{ path: string; text: string }[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const names = entries
    .filter((entry) => !entry.isDirectory() && /\.md$/i.test(entry.name) && !/^readme\.md$/i.test(entry.name))
    .map((entry) => entry.name)
    .sort()
    .slice(0, MAX_FILES);
  const files = await Promise.all(
    names.map(async (name) => {
      const path = join(folder, name);
      const text = await readFile(path, 'utf8').catch(() => undefined);
      return text === undefined || text.length > MAX_CHARACTERS ? [] : [{ path, text }];
    }),
  );
  return files.flat();
}
