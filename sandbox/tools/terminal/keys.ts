/** Names of keys that a model may send to a running program, beside plain text. */
const NAMED: Record<string, string> = {
  ENTER: '\r',
  TAB: '\t',
  ESC: '\u001b',
  ESCAPE: '\u001b',
  SPACE: ' ',
  BS: '\u007f',
  BACKSPACE: '\u007f',
  UP: '\u001b[A',
  DOWN: '\u001b[B',
  RIGHT: '\u001b[C',
  LEFT: '\u001b[D',
  HOME: '\u001b[H',
  END: '\u001b[F',
  PGUP: '\u001b[5~',
  PGDN: '\u001b[6~',
  DEL: '\u001b[3~',
};

/** `C-c`, `C-d`, `UP`, … as bytes of the keyboard; any other text is typed and ended with Enter. */
export function keysFor(input: string): string {
  const control = /^C-([a-z\\[\]^_])$/i.exec(input.trim());
  if (control?.[1] !== undefined) return String.fromCharCode(control[1].toUpperCase().charCodeAt(0) & 31);
  return NAMED[input.trim()] ?? `${input}\n`;
}
