/** Hides values in texts, also in texts that come in pieces. */

export const HIDDEN = '<secret-hidden>';

/** `text` with each of these values replaced; where one holds another, the longer one counts. Pure. */
export function maskValues(text: string, values: readonly string[]): string {
  let masked = text;
  for (const value of [...values].sort((a, b) => b.length - a.length))
    if (value.length <= masked.length) masked = masked.replaceAll(value, HIDDEN);
  return masked;
}

/** A text in pieces: the end of a piece waits while it may be the beginning of a value. */
export interface StreamMask {
  /** What may be shown now; may be empty. */
  push(piece: string): string;
  /** What waited. */
  end(): string;
}

export function createStreamMask(values: () => readonly string[]): StreamMask {
  let waiting = '';
  return {
    push(piece) {
      const known = values();
      waiting += piece;
      const cut = cutOf(waiting, known);
      const shown = maskValues(waiting.slice(0, cut), known);
      waiting = waiting.slice(cut);
      return shown;
    },
    end() {
      const shown = maskValues(waiting, values());
      waiting = '';
      return shown;
    },
  };
}

/** Where a text can be cut so that neither a value nor its possible beginning is torn. Pure. */
function cutOf(text: string, values: readonly string[]): number {
  let cut = text.length;
  for (const value of values)
    for (let length = Math.min(value.length - 1, text.length); length > text.length - cut; length--)
      if (text.endsWith(value.slice(0, length))) cut = text.length - length;
  for (const value of values) {
    const start = text.indexOf(value, Math.max(0, cut - value.length + 1));
    if (start >= 0 && start < cut) cut = start + value.length;
  }
  return cut;
}

const SECRET_NAME = /key|secret|token|password|authorization|credential|cookie/i;
/** Shorter ones are words as often as not (`none`, `dummy-key`), and hiding a word would garble all output. */
const SHORTEST = 12;

/** The values of headers or variables whose names say that they are secret, without `Bearer`. Pure. */
export const secretValues = (named: Readonly<Record<string, unknown>>): string[] =>
  Object.entries(named).flatMap(([name, value]) =>
    typeof value === 'string' && SECRET_NAME.test(name)
      ? longEnough([value.replace(/^(bearer|basic|token)\s+/i, '')])
      : [],
  );

/** Those that are long enough to be hidden; names of variables that stand for a value are none. Pure. */
export const longEnough = (values: readonly (string | null | undefined)[]): string[] =>
  values.filter(
    (value): value is string => typeof value === 'string' && value.length >= SHORTEST && !/^\$\{?\w+\}?$/.test(value),
  );

/** Passwords in the URLs of a command, as `https://user:password@host`, or a token in place of the user. Pure. */
export const urlCredentials = (command: string): string[] =>
  [...command.matchAll(/\b[a-z][a-z0-9+.-]*:\/\/([^\s/:@'"]*)(?::([^\s/@'"]+))?@/gi)].flatMap(([, user, password]) =>
    longEnough([password ?? user]),
  );

/** An address without user and password; other forms (`git@host:path`) as they are. Pure. */
export const urlWithoutCredentials = (url: string): string => url.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/@]*@/i, '$1');
