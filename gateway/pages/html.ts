/**
 * Pages in path form: URLs in attributes, styles, refreshes and import maps as the page streams by. What scripts put together
 * themselves cannot be known: their text stays as it is, as do comments and text areas, and shim.ts helps at run time.
 */
import { Tokenizer, type TokenizerCallbacks } from 'htmlparser2';
import { editCss, lookAhead, type TextRewriter } from './css.js';
import { rewriteImportMap } from './imports.js';
import { moduleMap, socketShim } from './shim.js';
import { apply, editRefresh, editSourceSet, editUrl, type Edit, type Site } from './urls.js';

/** A tag or an import map that is still open when this much of it has come is passed on as it is. */
const MAX_HELD = 64 * 1024;

/** `<script`, and `</` as long. */
const LONGEST_NAME = 8;

type EditValue = (value: string, from: number, site: Site) => Edit[];
const editStyle: EditValue = (value, from, site) => editCss(value, 0, value.length, from, site);
const EDITS = new Map<string, EditValue>([
  ...['href', 'src', 'action', 'formaction', 'poster', 'data', 'xlink:href'].map((name) => [name, editUrl] as const),
  ['srcset', editSourceSet],
  ['imagesrcset', editSourceSet],
  ['style', editStyle],
]);
/** Of them the value matters to what the others mean. */
const NOTED = new Set(['http-equiv', 'content', 'type', 'integrity', ...EDITS.keys()]);

/** Places are counted from the page's beginning. */
interface Attribute {
  name: string;
  nameAt: number;
  at: number;
  end: number;
}

interface Reader {
  site: Site;
  /** What has come and not gone out, and where it begins. */
  text: string;
  from: number;
  /** From here on nothing goes out yet; Infinity when nothing is open. */
  hold: number;
  edits: Edit[];
  /** Name of the tag that is open; undefined outside of tags and in one that is too long. */
  tag: string | undefined;
  attributes: Attribute[];
  /** Where the tag begins. */
  tagAt: number;
  /** What has come: the shim, and an import map. */
  hasShim: boolean;
  hasMap: boolean;
  /** What kind of text follows. */
  inside: 'style' | 'importmap' | undefined;
}

export function createHtmlRewriter(site: Site): TextRewriter {
  const reader: Reader = {
    site,
    text: '',
    from: 0,
    hold: Infinity,
    edits: [],
    tag: undefined,
    attributes: [],
    tagAt: 0,
    hasShim: false,
    hasMap: false,
    inside: undefined,
  };
  const tokenizer = new Tokenizer({ decodeEntities: false }, callbacks(reader));
  return {
    push(text) {
      reader.text += text;
      tokenizer.write(text);
      return flush(reader);
    },
    end() {
      if (reader.inside === 'style') readStyle(reader, reader.from + reader.text.length, 0);
      reader.hold = Infinity;
      return flush(reader, true);
    },
  };
}

function flush(reader: Reader, isLast = false): string {
  const { text, from, edits } = reader;
  if (from + text.length - reader.hold > MAX_HELD) giveUp(reader);
  const end = Math.min(text.length, reader.hold - from, isLast ? Infinity : openTag(text));
  const out = apply(text.slice(0, end), edits, from);
  reader.text = text.slice(end);
  reader.from += end;
  reader.edits = [];
  return out;
}

function giveUp(reader: Reader): void {
  reader.tag = undefined;
  reader.attributes = [];
  reader.inside = undefined;
  reader.hold = Infinity;
}

/** Where a tag begins whose name may not be whole yet; only short names matter. */
function openTag(text: string): number {
  const at = text.lastIndexOf('<');
  return at >= 0 && at >= text.length - LONGEST_NAME && !text.includes('>', at) ? at : Infinity;
}

const nothing = () => undefined;

function callbacks(reader: Reader): TokenizerCallbacks {
  return {
    onopentagname(start, end) {
      reader.tag = start < reader.from ? '' : textOf(reader, start, end).toLowerCase();
      reader.attributes = [];
      reader.tagAt = Math.max(start - 1, reader.from);
      reader.hold = reader.tagAt;
    },
    onattribname(start, end) {
      if (reader.tag === undefined) return;
      const name = textOf(reader, start, end).toLowerCase();
      reader.attributes.push({ name, nameAt: start, at: end, end });
    },
    onattribdata(start, end) {
      const attribute = reader.attributes.at(-1);
      if (attribute === undefined) return;
      // A value may come in pieces, one for each chunk.
      if (attribute.at === attribute.end) attribute.at = start;
      attribute.end = end;
    },
    onattribend: nothing,
    onattribentity: nothing,
    onopentagend: (end) => tagEnded(reader, end + 1),
    onselfclosingtag: (end) => tagEnded(reader, end + 1),
    ontext(_start, end) {
      if (reader.inside === 'style') readStyle(reader, end, lookAhead(reader.site));
    },
    onclosetag: (start) => elementEnded(reader, start - 2),
    oncomment: nothing,
    oncdata: nothing,
    ondeclaration: nothing,
    onprocessinginstruction: nothing,
    ontextentity: nothing,
    onend: nothing,
  };
}

const textOf = ({ text, from }: Reader, start: number, end: number) => text.slice(start - from, end - from);

function tagEnded(reader: Reader, end: number): void {
  const { tag, tagAt, site } = reader;
  if (tag === undefined) return;
  const attributes = reader.attributes.filter(({ name }) => NOTED.has(name));
  const valueOf = (name: string) => {
    const found = attributes.find((attribute) => attribute.name === name);
    return found === undefined ? undefined : textOf(reader, found.at, found.end).trim().toLowerCase();
  };
  if (tag === 'script') reader.edits.push({ at: tagAt, end: tagAt, text: beforeScript(reader, valueOf('type')) });
  for (const attribute of attributes) {
    const { name, at } = attribute;
    const value = textOf(reader, at, attribute.end);
    const isRefresh = name === 'content' && tag === 'meta' && valueOf('http-equiv') === 'refresh';
    const edit = isRefresh ? editRefresh : EDITS.get(name);
    if (edit !== undefined) reader.edits.push(...edit(value, at, site));
    // Its style sheet is rewritten, so the digest is of another text.
    if (name === 'integrity' && tag === 'link')
      reader.edits.push({ at: attribute.nameAt, end: attribute.nameAt, text: 'data-' });
  }
  if (tag === 'head') reader.edits.push({ at: end, end, text: shimOnce(reader) });
  giveUp(reader);
  if (tag === 'style') reader.inside = 'style';
  else if (tag === 'script' && valueOf('type') === 'importmap') reader.inside = 'importmap';
  if (reader.inside !== undefined) reader.hold = end;
}

function shimOnce(reader: Reader): string {
  if (reader.hasShim) return '';
  reader.hasShim = true;
  return socketShim(reader.site);
}

/** Pages may leave the head's tag out; and a map counts only before the first module. */
function beforeScript(reader: Reader, type: string | undefined): string {
  const shim = shimOnce(reader);
  if (reader.hasMap || (type !== 'module' && type !== 'importmap')) return shim;
  reader.hasMap = true;
  return type === 'module' ? shim + moduleMap(reader.site) : shim;
}

/** Reads the style up to `end` but for the last `ahead` characters, which may be the beginning of a URL. */
function readStyle(reader: Reader, end: number, ahead: number): void {
  const { hold, from, text, site } = reader;
  const until = Math.max(hold, end - ahead);
  const edits = editCss(text.slice(0, end - from), hold - from, until - from, from, site);
  reader.edits.push(...edits);
  reader.hold = Math.max(until, edits.at(-1)?.at ?? 0);
}

function elementEnded(reader: Reader, end: number): void {
  const { inside, hold, site } = reader;
  if (inside === 'style') readStyle(reader, end, 0);
  if (inside === 'importmap')
    reader.edits.push({ at: hold, end, text: rewriteImportMap(textOf(reader, hold, end), site) });
  if (inside === undefined) return;
  giveUp(reader);
}
