/** The file editor: view, create, str_replace, insert, undo_edit. */
import { mkdir, open, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, extname, isAbsolute, join } from 'node:path';
import { z } from 'zod';
import {
  image,
  text,
  type Action,
  type Content,
  type Observation,
  type Tool,
  type ToolContext,
  type ToolDefinition,
} from '../tool.js';
import { insertLines, looksBinary, numbered, occurrences, snippet } from './text.js';

const VIEW_LIMIT = 200_000;
const FILE_LIMIT = 10 * 1024 * 1024;
const LIST_LIMIT = 1000;
const HISTORY_FILES = 200;
const HISTORY_VERSIONS = 10;
const IMAGES: Record<string, string> = {
  '.png': 'image/png',
  '.jpg': 'image/jpeg',
  '.jpeg': 'image/jpeg',
  '.gif': 'image/gif',
  '.webp': 'image/webp',
};

const schema = z.strictObject({
  command: z.enum(['view', 'create', 'str_replace', 'insert', 'undo_edit']).describe('What to do.'),
  path: z.string().describe('Absolute path of a file, or of a folder to view.'),
  file_text: z.string().nullable().default(null).describe('create: the content of the new file.'),
  old_str: z
    .string()
    .nullable()
    .default(null)
    .describe('str_replace: the text to replace; it must occur exactly once.'),
  new_str: z
    .string()
    .nullable()
    .default(null)
    .describe('str_replace: what takes its place (nothing when left out). insert: the text to insert.'),
  insert_line: z
    .int()
    .min(0)
    .nullable()
    .default(null)
    .describe('insert: the line after which the text goes; 0 is the top.'),
  view_range: z
    .array(z.int())
    .nullable()
    .default(null)
    .describe('view of a file: [first, last] line, counted from 1; -1 as last means the end.'),
});
type Args = z.infer<typeof schema>;

export const fileEditorDefinition: ToolDefinition = {
  name: 'file_editor',
  kind: 'FileEditorTool',
  actionKind: 'FileEditorAction',
  observationKind: 'FileEditorObservation',
  description: `Views and edits files by absolute path.
- view: a file with line numbers (or some of its lines), a folder's contents two levels deep, or an image.
- create: a new file; its folders are made. An existing file is not overwritten.
- str_replace: replaces one piece of text. old_str must match exactly, white space included, and only once: take enough lines around it.
- insert: puts lines behind a line.
- undo_edit: takes back the last edit of the file.`,
  annotations: {
    title: 'file_editor',
    readOnlyHint: false,
    destructiveHint: true,
    idempotentHint: false,
    openWorldHint: false,
  },
  schema,
};

/** A refusal that the model reads. */
class EditError extends Error {}
const wrongPath = (path: string, why: string): EditError =>
  new EditError(`Invalid \`path\` parameter: ${path}. ${why}`);

interface Result {
  content: Content[];
  prevExist?: boolean;
  old?: string;
  new?: string;
}

async function viewFolder(path: string): Promise<Result> {
  const found: string[] = [];
  const walk = async (folder: string, depth: number): Promise<void> => {
    const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      if (entry.name.startsWith('.') || found.length >= LIST_LIMIT) continue;
      const full = join(folder, entry.name);
      found.push(entry.isDirectory() ? `${full}/` : full);
      if (entry.isDirectory() && depth < 2 && entry.name !== 'node_modules') await walk(full, depth + 1);
    }
  };
  await walk(path, 1);
  const more = found.length >= LIST_LIMIT ? `\n(only the first ${LIST_LIMIT} are shown)` : '';
  return {
    content: [
      text(
        `Files and folders in ${path}, two levels deep, without hidden ones:\n${[path.endsWith('/') ? path : `${path}/`, ...found].join('\n')}${more}`,
      ),
    ],
  };
}

async function readText(path: string): Promise<string> {
  const info = await stat(path);
  if (info.size > FILE_LIMIT)
    throw new EditError(
      `The file ${path} has ${info.size} bytes, more than the editor takes (${FILE_LIMIT}). Use the terminal (head, sed, grep).`,
    );
  const bytes = await readFile(path);
  if (looksBinary(bytes)) throw new EditError(`The file ${path} is not a text file.`);
  return bytes.toString('utf8');
}

function checkRange(range: number[], lines: number): [number, number] {
  const [first, last] = range;
  if (range.length !== 2 || first === undefined || last === undefined)
    throw new EditError('Invalid `view_range` parameter: it takes two numbers, [first, last].');
  if (first < 1 || first > Math.max(1, lines))
    throw new EditError(`Invalid \`view_range\` parameter: ${first} is not a line of the file, which has ${lines}.`);
  if (last !== -1 && last < first)
    throw new EditError(`Invalid \`view_range\` parameter: the last line (${last}) comes before the first (${first}).`);
  return [first, last === -1 ? lines : Math.min(last, lines)];
}

async function viewImage(path: string, type: string): Promise<Result> {
  const bytes = await readFile(path);
  if (bytes.length > FILE_LIMIT / 2)
    throw new EditError(`The image ${path} is too large to view (${bytes.length} bytes).`);
  return { content: [text(`The image ${path}:`), image(`data:${type};base64,${bytes.toString('base64')}`)] };
}

async function view(args: Args): Promise<Result> {
  const info = await stat(args.path);
  if (info.isDirectory()) {
    if (args.view_range !== null) throw new EditError('The `view_range` parameter is for files, not for folders.');
    return viewFolder(args.path);
  }
  const type = IMAGES[extname(args.path).toLowerCase()];
  if (type !== undefined) return viewImage(args.path, type);
  const content = await readText(args.path);
  const lines = content.split('\n');
  const count = content.endsWith('\n') ? lines.length - 1 : lines.length;
  const [first, last] = args.view_range === null ? [1, count] : checkRange(args.view_range, count);
  const shown = `${numbered(lines.slice(first - 1, last), first)}\n`;
  const cut =
    shown.length > VIEW_LIMIT ? `${shown.slice(0, VIEW_LIMIT)}\n[… the rest is not shown; use view_range.]\n` : shown;
  return { content: [text(`Here's the result of running \`cat -n\` on ${args.path}:\n${cut}`)] };
}

function replaceOnce(content: string, args: Args): { next: string; line: number } {
  const part = args.old_str;
  if (part === null || part === '')
    throw new EditError('Parameter `old_str` is required for command: str_replace, and must not be empty.');
  if (part === args.new_str) throw new EditError('No change: `new_str` and `old_str` are the same.');
  const lines = occurrences(content, part);
  if (lines.length === 0)
    throw new EditError(`No change: \`old_str\` does not occur in ${args.path} exactly as given.`);
  if (lines.length > 1)
    throw new EditError(
      `No change: \`old_str\` occurs ${lines.length} times in ${args.path} (lines ${lines.slice(0, 20).join(', ')}). Take more of the text around it.`,
    );
  const at = content.indexOf(part);
  return { next: content.slice(0, at) + (args.new_str ?? '') + content.slice(at + part.length), line: lines[0] ?? 1 };
}

const edited = (path: string, shown: string): Content[] => [
  text(
    `The file ${path} has been edited. Here's the result of running \`cat -n\` on a snippet of ${path}:\n${shown}\nReview the changes and make sure they are as expected. Edit the file again if necessary.`,
  ),
];

export function createFileEditorTool(context: ToolContext): Tool {
  /** Earlier contents by path, newest last; bounded. */
  const history = new Map<string, string[]>();
  const remember = (path: string, content: string): void => {
    const versions = [...(history.get(path) ?? []), content].slice(-HISTORY_VERSIONS);
    history.delete(path);
    history.set(path, versions);
    const oldest = history.keys().next().value;
    if (history.size > HISTORY_FILES && oldest !== undefined) history.delete(oldest);
  };

  async function create(args: Args): Promise<Result> {
    if (args.file_text === null) throw new EditError('Parameter `file_text` is required for command: create.');
    await mkdir(dirname(args.path), { recursive: true });
    const file = await open(args.path, 'wx');
    await file.writeFile(args.file_text).finally(() => file.close());
    return { content: [text(`File created successfully at: ${args.path}`)], prevExist: false, new: args.file_text };
  }

  async function change(args: Args): Promise<Result> {
    const old = await readText(args.path);
    const { next, line } = args.command === 'insert' ? inserted(old, args) : replaceOnce(old, args);
    await writeFile(args.path, next);
    remember(args.path, old);
    const added = (args.new_str ?? '').split('\n').length;
    return { content: edited(args.path, snippet(next, line, added)), old, new: next };
  }

  function inserted(content: string, args: Args): { next: string; line: number } {
    if (args.insert_line === null) throw new EditError('Parameter `insert_line` is required for command: insert.');
    if (args.new_str === null) throw new EditError('Parameter `new_str` is required for command: insert.');
    const lines = content === '' ? 0 : content.split('\n').length - (content.endsWith('\n') ? 1 : 0);
    if (args.insert_line > lines)
      throw new EditError(`Invalid \`insert_line\` parameter: ${args.insert_line}. The file has ${lines} lines.`);
    return { next: insertLines(content, args.insert_line, args.new_str), line: args.insert_line + 1 };
  }

  async function undo(args: Args): Promise<Result> {
    const versions = history.get(args.path) ?? [];
    const last = versions.pop();
    if (last === undefined) throw new EditError(`There is no edit of ${args.path} to take back.`);
    const old = await readText(args.path);
    await writeFile(args.path, last);
    return {
      content: [
        text(
          `The last edit of ${args.path} was taken back. It reads now:\n${numbered(last.split('\n')).slice(0, 4000)}`,
        ),
      ],
      old,
      new: last,
    };
  }

  async function act(args: Args): Promise<Result> {
    if (!isAbsolute(args.path))
      throw wrongPath(
        args.path,
        `The path must be absolute, for instance ${join(context.workingDir, basename(args.path))}.`,
      );
    const info = await stat(args.path).catch((error: NodeJS.ErrnoException) =>
      error.code === 'ENOENT' || error.code === 'ENOTDIR' ? undefined : Promise.reject(error),
    );
    if (info === undefined && args.command !== 'create')
      throw wrongPath(args.path, `The path ${args.path} does not exist. Please provide a valid path.`);
    if (info !== undefined && args.command === 'create')
      throw wrongPath(
        args.path,
        'It exists already, and `create` does not overwrite. Use str_replace or insert, or remove it first.',
      );
    if (info?.isDirectory() === true && args.command !== 'view')
      throw wrongPath(args.path, 'It is a folder; folders can only be viewed.');
    switch (args.command) {
      case 'view':
        return view(args);
      case 'create':
        return create(args);
      case 'str_replace':
      case 'insert':
        return change(args);
      case 'undo_edit':
        return undo(args);
    }
  }

  async function run(action: Action): Promise<Observation> {
    const { kind: _kind, ...fields } = action;
    const parsed = schema.parse(fields) as Args;
    const args = { ...parsed, path: context.mapPath(parsed.path) };
    const shape = { command: args.command, kind: 'FileEditorObservation' };
    try {
      const result = await act(args);
      return {
        content: result.content,
        is_error: false,
        path: args.path,
        prev_exist: result.prevExist ?? true,
        old_content: result.old ?? null,
        new_content: result.new ?? null,
        ...shape,
      };
    } catch (error) {
      const said =
        error instanceof EditError
          ? error.message
          : `The ${args.command} of ${args.path} failed: ${(error as Error).message}`;
      return {
        content: [text(said)],
        is_error: true,
        path: null,
        prev_exist: true,
        old_content: null,
        new_content: null,
        ...shape,
      };
    }
  }

  return { ...fileEditorDefinition, run };
}
