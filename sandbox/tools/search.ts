/** glob and grep: finding files and lines without a shell. Bounded in files, results and bytes. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, join, relative, resolve } from 'node:path';
import { z } from 'zod';
import { looksBinary } from './files/text.js';
import { text, type Action, type Observation, type Tool, type ToolContext, type ToolDefinition } from './tool.js';

const MAX_FOUND = 100;
const MAX_FILES = 50_000;
const MAX_BYTES = 2 * 1024 * 1024;
const MAX_LINES = 200;
const SKIPPED = new Set(['node_modules', '.git', '.hg', '.svn', '__pycache__', '.venv']);

const readOnly = (title: string): ToolDefinition['annotations'] => ({
  title,
  readOnlyHint: true,
  destructiveHint: false,
  idempotentHint: true,
  openWorldHint: false,
});
const path = z.string().nullable().default(null).describe('Folder to search; the working folder when left out.');

export const globDefinition: ToolDefinition = {
  name: 'glob',
  kind: 'GlobTool',
  actionKind: 'GlobAction',
  observationKind: 'GlobObservation',
  description: `Finds files whose path matches a pattern, such as "**/*.ts" or "src/*.{js,jsx}"; newest first, at most ${MAX_FOUND}. Dependency and version-control folders are left out.`,
  annotations: readOnly('glob'),
  schema: z.strictObject({
    pattern: z.string().describe('The pattern: * within a folder, ** across folders, {a,b} one of them.'),
    path,
  }),
};

export const grepDefinition: ToolDefinition = {
  name: 'grep',
  kind: 'GrepTool',
  actionKind: 'GrepAction',
  observationKind: 'GrepObservation',
  description: `Finds lines that match a regular expression, case ignored, in text files below a folder; at most ${MAX_FOUND} files.`,
  annotations: readOnly('grep'),
  schema: z.strictObject({
    pattern: z.string().describe('The regular expression (JavaScript).'),
    path,
    include: z
      .string()
      .nullable()
      .default(null)
      .describe('Only files whose name matches this pattern, such as "*.ts".'),
  }),
};

/** A glob as a regular expression over a path relative to the folder. Pure. */
export function globPattern(glob: string): RegExp {
  const source = glob.replace(/\*\*\/|\*\*|\*|\?|\{[^{}]*\}|\[[^\]]*\]|[.+^$()|\\{}[\]]/g, (part) => {
    if (part === '**/') return '(?:[^/]+/)*';
    if (part === '**') return '.*';
    if (part === '*') return '[^/]*';
    if (part === '?') return '[^/]';
    if (part.startsWith('{') && part.length > 1)
      return `(?:${part
        .slice(1, -1)
        .split(',')
        .map((each) => globPattern(each).source.slice(1, -1))
        .join('|')})`;
    if (part.startsWith('[') && part.length > 1) return part.replace(/^\[!/, '[^').replaceAll('\\', '\\\\');
    return `\\${part}`;
  });
  return new RegExp(`^${source}$`);
}

/** Files below a folder, without following links. */
async function* filesBelow(root: string, signal: AbortSignal): AsyncGenerator<string> {
  const folders = [root];
  for (let seen = 0; folders.length > 0 && seen < MAX_FILES;) {
    if (signal.aborted) throw signal.reason;
    const folder = folders.shift() ?? root;
    const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      seen++;
      if (entry.isDirectory() && !SKIPPED.has(entry.name)) folders.push(join(folder, entry.name));
      if (entry.isFile()) yield join(folder, entry.name);
    }
  }
}

async function rootOf(context: ToolContext, given: unknown): Promise<string> {
  const root =
    typeof given === 'string' && given !== ''
      ? resolve(context.workingDir, context.mapPath(given))
      : context.workingDir;
  if (!(await stat(root).catch(() => undefined))?.isDirectory()) throw new Error(`${root} is not a folder.`);
  return root;
}

async function newestFirst(files: string[]): Promise<string[]> {
  const dated = await Promise.all(
    files.map(async (file) => ({ file, time: (await stat(file).catch(() => undefined))?.mtimeMs ?? 0 })),
  );
  return dated.sort((a, b) => b.time - a.time || (a.file < b.file ? -1 : 1)).map(({ file }) => file);
}

async function matchingLines(file: string, pattern: RegExp): Promise<string[]> {
  const info = await stat(file).catch(() => undefined);
  if (info === undefined || info.size > MAX_BYTES) return [];
  const bytes = await readFile(file).catch(() => Buffer.alloc(0));
  if (looksBinary(bytes)) return [];
  return bytes
    .toString('utf8')
    .split('\n')
    .flatMap((line, index) => (pattern.test(line) ? [`${file}:${index + 1}: ${line.trim().slice(0, 300)}`] : []));
}

export function createGlobTool(context: ToolContext): Tool {
  async function run(action: Action, { signal }: { signal: AbortSignal }): Promise<Observation> {
    const pattern = String(action['pattern']);
    const shape = { pattern, search_path: context.workingDir, truncated: false, kind: 'GlobObservation' };
    try {
      const root = await rootOf(context, action['path']);
      const wanted = globPattern(pattern);
      const found: string[] = [];
      for await (const file of filesBelow(root, signal)) {
        if (wanted.test(relative(root, file))) found.push(file);
        if (found.length >= 10 * MAX_FOUND) break;
      }
      const files = (await newestFirst(found)).slice(0, MAX_FOUND);
      const truncated = found.length > files.length;
      const said =
        files.length === 0
          ? `No file below ${root} matches ${pattern}.`
          : `${files.join('\n')}${truncated ? '\n(there are more)' : ''}`;
      return { content: [text(said)], is_error: false, files, ...shape, search_path: root, truncated };
    } catch (error) {
      return { content: [text(`The search failed: ${(error as Error).message}`)], is_error: true, files: [], ...shape };
    }
  }
  return { ...globDefinition, run };
}

export function createGrepTool(context: ToolContext): Tool {
  async function run(action: Action, { signal }: { signal: AbortSignal }): Promise<Observation> {
    const include = typeof action['include'] === 'string' ? action['include'] : null;
    const shape = {
      pattern: String(action['pattern']),
      search_path: context.workingDir,
      include_pattern: include,
      truncated: false,
      kind: 'GrepObservation',
    };
    try {
      const root = await rootOf(context, action['path']);
      const wanted = new RegExp(shape.pattern, 'i');
      const named = include === null ? undefined : globPattern(include);
      const matches: string[] = [];
      const lines: string[] = [];
      for await (const file of filesBelow(root, signal)) {
        if (named !== undefined && !named.test(basename(file)) && !named.test(relative(root, file))) continue;
        const hits = await matchingLines(file, wanted);
        if (hits.length === 0) continue;
        matches.push(file);
        lines.push(...hits);
        if (matches.length >= MAX_FOUND) break;
      }
      const truncated = matches.length >= MAX_FOUND || lines.length > MAX_LINES;
      const said =
        matches.length === 0
          ? `No line below ${root} matches ${shape.pattern}.`
          : `${lines.slice(0, MAX_LINES).join('\n')}${truncated ? '\n(there are more)' : ''}`;
      return { content: [text(said)], is_error: false, matches, ...shape, search_path: root, truncated };
    } catch (error) {
      return {
        content: [text(`The search failed: ${(error as Error).message}`)],
        is_error: true,
        matches: [],
        ...shape,
      };
    }
  }
  return { ...grepDefinition, run };
}

export const createSearchTools = (context: ToolContext): [Tool, Tool] => [
  createGlobTool(context),
  createGrepTool(context),
];
