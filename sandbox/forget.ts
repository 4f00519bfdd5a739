/**
 * Takes keys out of this process's environment, also out of `/proc/<pid>/environ`: the agent's commands run as the same
 * user and could read them there. (Memory of the process stays open to who may trace it.)
 */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';

const KEYS = /^(OH_SECRET_KEY|SESSION_API_KEY|OH_SESSION_API_KEYS_\d+|OH_WEBHOOKS_\d+_HEADERS)$/;
/** Places in /proc/self/stat behind the program's name (proc(5): fields 50 and 51, counted from field 3). */
const ENV_START = 47;
const ENV_END = 48;

/** `env` is process.env itself. False when they stay readable in /proc: not Linux, or the kernel forbids it. */
export function forgetKeys(env: NodeJS.ProcessEnv): boolean {
  let wiped = true;
  try {
    wipe();
  } catch {
    wiped = false;
  }
  for (const name of Object.keys(env)) if (KEYS.test(name)) Reflect.deleteProperty(env, name);
  return wiped;
}

function wipe(): void {
  const stat = readFileSync('/proc/self/stat', 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [start, end] = [Number(fields[ENV_START]), Number(fields[ENV_END])];
  const environ = readFileSync('/proc/self/environ');
  if (!(start > 0) || environ.length !== end - start) throw new Error('the environment lies elsewhere');
  const memory = openSync('/proc/self/mem', 'r+');
  try {
    for (let at = 0; at < environ.length;) {
      const next = environ.indexOf(0, at);
      const stop = next < 0 ? environ.length : next;
      const entry = environ.toString('latin1', at, stop);
      const equals = entry.indexOf('=');
      const length = stop - at - equals - 1;
      if (equals > 0 && length > 0 && KEYS.test(entry.slice(0, equals)))
        writeSync(memory, Buffer.alloc(length), 0, length, start + at + equals + 1);
      at = stop + 1;
    }
  } finally {
    closeSync(memory);
  }
}

/** What the image's start script hands over beside the environment, so that its first process never has it: `NAME=value`, each ended by a null. */
export function handedOver(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const descriptor = Number(env['SANDLOT_KEYS_FD'] ?? '');
  if (!Number.isSafeInteger(descriptor) || descriptor < 3) return env;
  const text = readFileSync(descriptor, 'utf8');
  closeSync(descriptor);
  const entries = text.split('\0').flatMap((entry) => {
    const equals = entry.indexOf('=');
    return equals > 0 ? [[entry.slice(0, equals), entry.slice(equals + 1)]] : [];
  });
  return { ...env, ...(Object.fromEntries(entries) as Record<string, string>) };
}
