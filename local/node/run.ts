/** Runs a command in a container's place and collects what it says: exec probes. */
import type { Surroundings } from './container.js';
import { startProcess, StartError } from './spawn.js';
import { killAll, MARK } from './processes.js';
import { setTimeout as sleep } from 'node:timers/promises';

const MAX_OUTPUT = 4096;

/** Exit code and bounded output; 124 when it took too long, 126 when it could not be started. Never rejects. */
export async function runForProbe(around: Surroundings, timeoutMs: number): Promise<{ code: number; output: string }> {
  let output = '';
  try {
    const mark = `${around.env[MARK] ?? ''}/probe`;
    const { child, pid, exited } = await startProcess({ ...around, env: { ...around.env, [MARK]: mark } });
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (chunk: Buffer) => {
        if (output.length < MAX_OUTPUT) output += chunk.toString('utf8').slice(0, MAX_OUTPUT - output.length);
      });
    const limit = new AbortController();
    const late = sleep(timeoutMs, 'late' as const, { signal: limit.signal }).catch(() => undefined);
    const first = await Promise.race([exited, late]);
    limit.abort();
    if (first === 'late' || first === undefined) {
      await killAll({ markPrefix: mark, leaders: [pid] }, (ms) => sleep(ms));
      return { code: 124, output: `command timed out after ${timeoutMs} ms` };
    }
    return { code: first.exitCode, output };
  } catch (error) {
    if (error instanceof StartError) return { code: 126, output: error.message };
    return { code: 126, output: String(error) };
  }
}
