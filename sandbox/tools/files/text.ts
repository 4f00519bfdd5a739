/** Pure parts of the file editor: numbered views, edits of text, listings. */

/** Lines as `cat -n` prints them, starting at `first` (1-based). */
export function numbered(lines: string[], first = 1): string {
  return lines.map((line, index) => `${String(first + index).padStart(6)}\t${line}`).join('\n');
}

/** How often `part` occurs, and the 1-based line of each occurrence. */
export function occurrences(content: string, part: string): number[] {
  const lines: number[] = [];
  let line = 1;
  let from = 0;
  for (let at = content.indexOf(part); at >= 0; at = content.indexOf(part, at + Math.max(1, part.length))) {
    for (let index = content.indexOf('\n', from); index >= 0 && index < at; index = content.indexOf('\n', index + 1))
      line++;
    from = at;
    lines.push(line);
  }
  return lines;
}

const AROUND = 4;

/** The changed lines with some around them, numbered. */
export function snippet(content: string, firstLine: number, lineCount: number): string {
  const lines = content.split('\n');
  if (lines.at(-1) === '') lines.pop();
  const start = Math.max(1, firstLine - AROUND);
  return numbered(lines.slice(start - 1, firstLine + lineCount - 1 + AROUND), start);
}

/** Looks like something other than text: a NUL byte in the first 8 KiB. */
export function looksBinary(bytes: Buffer): boolean {
  return bytes.subarray(0, 8192).includes(0);
}

/** Applies an insertion behind line `after` (0: at the top). */
export function insertLines(content: string, after: number, added: string): string {
  const lines = content.split('\n');
  const block = added.endsWith('\n') ? added.slice(0, -1) : added;
  const atEnd = after >= lines.length - (content.endsWith('\n') || content === '' ? 1 : 0);
  if (atEnd && content !== '' && !content.endsWith('\n')) return `${content}\n${added}`;
  return [...lines.slice(0, after), ...block.split('\n'), ...lines.slice(after)].join('\n');
}
