/**
 * One shell that keeps its state between commands. A command is handed over in a file and evaluated by the shell;
 * the end of a command is told by the prompt, which prints a mark that only this session knows, with the exit
 * code and the folder.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findShell, openChannel, type Channel } from './channel.js';
import { endProcesses, listeningPorts, TERMINAL_MARK } from './processes.js';
import { createCapture, type Capture } from './screen.js';

interface Clock {
  monotonic(): number;
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export interface SessionOptions {
  cwd: string;
  env: Record<string, string>;
  clock: Clock;
  /** Characters of output that one report holds. */
  limit: number;
  /** Folder for outputs longer than that. */
  spillDir: string;
  prefer?: 'pty' | 'pipe';
  /** A file of `export` lines to begin with (of the session that this one replaces). */
  exports?: string;
}

export interface Prompt {
  exitCode: number;
  cwd: string;
  path: string;
  /** Process id of the last background command, -1 without one. */
  background: number;
}

export type WaitEnd = 'done' | 'quiet' | 'timeout' | 'ended' | 'aborted';

export interface WaitOptions {
  /** Return when there was no new output for so long. */
  quietMs?: number;
  /** Return after so long, output or not. */
  timeoutMs: number;
  signal: AbortSignal;
}

export interface Session {
  readonly pid: number;
  readonly busy: boolean;
  readonly ended: boolean;
  readonly prompt: Prompt;
  /** Starts a command. `exports` are set before it, as variables of the shell. */
  start(command: string, exports: Record<string, string>): void;
  /** Types into the running command. */
  type(keys: string): void;
  wait(options: WaitOptions): Promise<WaitEnd>;
  /** Output since the last call. */
  takeOutput(): Promise<string>;
  ports(): Promise<number[]>;
  /** File with `export` lines as of the last prompt. */
  readonly exportsFile: string;
  close(): Promise<void>;
}

const quoted = (value: string): string => `'${value.replaceAll("'", "'\\''")}'`;

/** The shell's start-up file: no echo, no history, and a prompt that reports. */
function startupFile(options: { bash: boolean; nonce: string; exportsFile: string; exports?: string }): string {
  const mark = `\\036${options.nonce}\\037%s\\037%s\\037%s\\037%s\\037%s\\036`;
  const restore = options.exports === undefined ? '' : `. ${quoted(options.exports)} 2>/dev/null\n`;
  const stty = 'stty -echo -onlcr 2>/dev/null\n';
  if (!options.bash)
    return `${stty}${restore}PS2=\nPS1='$(__prompt)'\n__prompt() { printf '${mark}' "$?" "\${__run:-0}" "\${!:--1}" "$PWD" "$PATH"; }\n`;
  return `${stty}${restore}set +o history
PS1= PS2=
__prompt() { local code=$?; PS1= PS2=; export -p > ${quoted(options.exportsFile)} 2>/dev/null; printf '${mark}' "$code" "\${__run:-0}" "\${!:--1}" "$PWD" "$PATH"; }
PROMPT_COMMAND=__prompt
`;
}

/** The line that starts a command, where a program left the terminal's echo on. */
const ECHOED = /^__run=\d+; eval "\$\([^)]*\)"\n?/;
const FOLDER = 'sandlot-terminal-';
let swept = false;

/**
 * Folders of terminals whose server was killed: they hold variables of its shells. Once per process. On a machine with more
 * users some are another's, which are his to remove: no reason for a terminal not to open.
 */
function removeLeftovers(): void {
  if (swept) return;
  swept = true;
  for (const name of readdirSync(tmpdir()).filter((each) => each.startsWith(FOLDER))) {
    const pid = Number(name.slice(FOLDER.length).split('-')[0]);
    if (pid !== process.pid && isAlive(pid)) continue;
    try {
      rmSync(join(tmpdir(), name), { recursive: true, force: true });
    } catch (error) {
      if (!['EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

export async function openSession(options: SessionOptions): Promise<Session> {
  const nonce = randomBytes(12).toString('hex');
  removeLeftovers();
  const dir = mkdtempSync(join(tmpdir(), `${FOLDER}${process.pid}-`));
  const shell = findShell(options.env['PATH'] ?? '');
  const exportsFile = join(dir, 'exports');
  const startup = join(dir, 'startup');
  const inherited = options.exports === undefined ? {} : { exports: options.exports };
  writeFileSync(startup, startupFile({ bash: shell.bash, nonce, exportsFile, ...inherited }), { mode: 0o600 });
  const channel = openChannel({
    file: shell.file,
    args: shell.bash ? ['--noprofile', '--noediting', '--rcfile', startup, '-i'] : ['-i'],
    cwd: options.cwd,
    env: { ...options.env, [TERMINAL_MARK]: nonce, ...(shell.bash ? {} : { ENV: startup }) },
    ...(options.prefer === undefined ? {} : { prefer: options.prefer }),
  });
  const session = attach({ channel, nonce, dir, exportsFile, read: shell.bash ? '<' : 'cat', options });
  const first = await session.wait({ timeoutMs: 20_000, signal: new AbortController().signal });
  if (first === 'done') return session;
  const said = (await session.takeOutput()).slice(0, 500);
  await session.close();
  throw new Error(`the shell ${shell.file} did not start${said === '' ? '' : `: ${said}`}`);
}

interface Attached {
  channel: Channel;
  nonce: string;
  dir: string;
  exportsFile: string;
  /** How the shell reads a file. */
  read: string;
  options: SessionOptions;
}

function attach({ channel, nonce, dir, exportsFile, read, options }: Attached): Session {
  const { clock } = options;
  const field = '([^\\u001e\\u001f]*)';
  const mark = new RegExp(`\\u001e${nonce}${`\\u001f${field}`.repeat(5)}\\u001e`);
  const opening = `\u001e${nonce}`;
  let commands = 0;
  let busy = true;
  let ended: number | undefined;
  let pending = '';
  let capture = newCapture();
  let prompt: Prompt = { exitCode: 0, cwd: options.cwd, path: options.env['PATH'] ?? '', background: -1 };
  let lastOutput = clock.monotonic();
  let wake: () => void = () => undefined;
  let changed = nextChange();

  function nextChange(): Promise<void> {
    return new Promise((resolve) => (wake = resolve));
  }
  function newCapture(): Capture {
    const made = createCapture({
      limit: options.limit,
      spillPath: join(
        options.spillDir,
        `terminal-${nonce.slice(0, 8)}-${String(commands).padStart(5, '0')}-${Date.now()}.txt`,
      ),
    });
    made.onDrain(() => channel.resume());
    return made;
  }
  function keep(raw: string): void {
    if (raw !== '' && !capture.add(raw)) channel.pause();
  }

  channel.onData((chunk) => {
    lastOutput = clock.monotonic();
    pending += chunk;
    for (let hit = mark.exec(pending); hit !== null; hit = mark.exec(pending)) {
      keep(pending.slice(0, hit.index));
      pending = pending.slice(hit.index + hit[0].length);
      // A prompt of an earlier command (Ctrl-C at the prompt shows it again) says nothing of this one.
      if (Number(hit[2]) !== commands) continue;
      prompt = { exitCode: Number(hit[1]), background: Number(hit[3]), cwd: hit[4] ?? '', path: hit[5] ?? '' };
      busy = false;
      wake();
    }
    const at = pending.indexOf('\u001e');
    const safe =
      at < 0 ||
      !(opening.startsWith(pending.slice(at, at + opening.length)) || pending.startsWith(opening, at)) ||
      pending.length - at > 100_000;
    keep(safe ? pending : pending.slice(0, at));
    pending = safe ? '' : pending.slice(at);
  });
  channel.onExit((code) => {
    ended = code;
    keep(pending);
    pending = '';
    busy = false;
    prompt = { ...prompt, exitCode: code };
    wake();
  });

  return {
    pid: channel.pid,
    exportsFile,
    get busy() {
      return busy;
    },
    get ended() {
      return ended !== undefined;
    },
    get prompt() {
      return prompt;
    },
    start(command, exports) {
      const file = join(dir, `command-${commands + 1}`);
      // A command may have emptied the folder for temporary files.
      mkdirSync(dir, { recursive: true, mode: 0o700 });
      const sets = Object.entries(exports).map(([name, value]) => `export ${name}=${quoted(value)}\n`);
      writeFileSync(file, `${sets.join('')}${command}\n`, { mode: 0o600 });
      rmSync(join(dir, `command-${commands++}`), { force: true });
      busy = true;
      void capture.close();
      capture = newCapture();
      lastOutput = clock.monotonic();
      changed = nextChange();
      channel.write(`__run=${commands}; eval "$(${read} ${quoted(file)})"\n`);
    },
    type(keys) {
      lastOutput = clock.monotonic();
      channel.write(keys);
    },
    async wait({ quietMs, timeoutMs, signal }) {
      const began = clock.monotonic();
      const deadline = began + timeoutMs;
      while (busy && ended === undefined) {
        const now = clock.monotonic();
        if (now >= deadline) return 'timeout';
        const quietAt = quietMs === undefined ? deadline : Math.max(lastOutput, began) + quietMs;
        if (quietMs !== undefined && now >= quietAt) return 'quiet';
        if (signal.aborted || !(await sleepOrChange(clock, Math.min(deadline, quietAt) - now, changed, signal)))
          return 'aborted';
      }
      if (commands > 0) rmSync(join(dir, `command-${commands}`), { force: true });
      return ended === undefined ? 'done' : 'ended';
    },
    async takeOutput() {
      const full = capture;
      capture = newCapture();
      channel.resume();
      await full.close();
      return full.text().replace(ECHOED, '');
    },
    ports: () => listeningPorts(channel.pid, nonce),
    async close() {
      await capture.close();
      await endProcesses(channel.pid, nonce);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** False when the signal was aborted. */
async function sleepOrChange(clock: Clock, ms: number, changed: Promise<void>, signal: AbortSignal): Promise<boolean> {
  const stop = new AbortController();
  const sleeping = clock.sleep(Math.max(1, ms), AbortSignal.any([signal, stop.signal])).catch(() => undefined);
  await Promise.race([sleeping, changed]);
  stop.abort();
  return !signal.aborted;
}
