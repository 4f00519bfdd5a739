/** What the line-runner makes of a message: the commands in it. Pure. */

const DOCUMENT = /<<-?\s*['"]?[\w.-]/;
/** Words that make lines belong together as only a shell can tell. */
const BLOCK = /^\s*(?:for|while|until|if|case|select|function)\b|[({]\s*$|^#!/;

function quotesBalance(lines: string): boolean {
  let open = '';
  for (let at = 0; at < lines.length; at++) {
    const char = lines[at] ?? '';
    if (char === '\\' && open !== "'") at++;
    else if (open === '' && char === '#' && /^$|\s/.test(lines[at - 1] ?? '')) at = nextLine(lines, at);
    else if (open === '' && (char === "'" || char === '"' || char === '`')) open = char;
    else if (char === open) open = '';
  }
  return open === '';
}

const nextLine = (lines: string, from: number): number => {
  const at = lines.indexOf('\n', from);
  return at < 0 ? lines.length : at;
};

/** A command without the bodies of its here-documents; undefined while one is open. */
function withoutDocuments(lines: string[]): string[] | undefined {
  const rest: string[] = [];
  const open: string[] = [];
  for (const line of lines) {
    if (open.length > 0) {
      if (line.trim() === open[0]) open.shift();
      continue;
    }
    rest.push(line);
    open.push(...[...line.matchAll(/<<-?\s*(['"]?)([\w.-]+)\1/g)].map((hit) => hit[2] ?? ''));
  }
  return open.length === 0 ? rest : undefined;
}

function isComplete(lines: string[]): boolean {
  const rest = withoutDocuments(lines);
  return rest !== undefined && quotesBalance(rest.join('\n')) && !/(?:\\|\||&&)\s*$/.test(rest.at(-1) ?? '');
}

/** Lines put together to commands: here-documents, open quotes and continued lines belong to the line that began them. */
function grouped(lines: string[]): string[] {
  const commands: string[] = [];
  let current: string[] = [];
  for (const line of lines) {
    if (current.length === 0 && /^\s*(?:#(?!!).*)?$/.test(line)) continue;
    current.push(line);
    if (!isComplete(current)) continue;
    commands.push(current.join('\n').trim());
    current = [];
  }
  return current.length === 0 ? commands : [...commands, current.join('\n').trim()];
}

/** The lines behind a `$ `, with what belongs to them. */
function prompted(lines: string[]): string[] {
  const commands: string[] = [];
  for (let at = 0; at < lines.length; at++) {
    const begin = /^\s*\$ (.*)$/.exec(lines[at] ?? '')?.[1];
    if (begin === undefined) continue;
    const command = [begin];
    while (!isComplete(command) && at + 1 < lines.length) command.push((lines[++at] ?? '').replace(/^\s*> /, ''));
    commands.push(command.join('\n').trim());
  }
  return commands.filter((command) => command !== '');
}

/** The commands of a message. Pure. */
export function commandsOf(message: string): string[] {
  const fenced = [...message.matchAll(/^```[^\n]*\n([\s\S]*?)^```\s*$/gm)].map((hit) => (hit[1] ?? '').trim());
  if (fenced.length > 0) return fenced.filter((block) => block !== '');
  const lines = message.split('\n').map((line) => line.trimEnd());
  const begins = lines.findIndex((line) => /^\s*\$ /.test(line));
  const document = lines.findIndex((line) => DOCUMENT.test(line));
  if (begins >= 0 && (document < 0 || begins <= document)) return prompted(lines);
  const commands = grouped(lines);
  return commands.length > 1 && commands.some((command) => BLOCK.test(command)) ? [message.trim()] : commands;
}
