/** The files below a folder of a sandbox, for a list that a person looks through. */
import { quote, runBash } from './bash.js';
import type { AgentEndpoint, AgentHttp } from './http.js';

/** What tools make, and nobody wrote. */
const LEFT_OUT = [
  '.git',
  '.venv',
  'venv',
  '__pycache__',
  'node_modules',
  '.next',
  '.cache',
  '.mypy_cache',
  '.pytest_cache',
  'target',
];
/** As many as OpenHands' frontend shows. */
const MAX_FILES = 2000;
const SECONDS = 10;

/** Paths relative to `folder`, sorted, at most 2000 and 64 KiB; empty when there is no such folder. Rejects with AgentError. */
export async function listFiles(http: AgentHttp, agent: AgentEndpoint, folder: string): Promise<string[]> {
  const skipped = LEFT_OUT.map((name) => `-name ${quote(name)} -prune`).join(' -o ');
  const { exitCode, output } = await runBash(http, agent, {
    command: `find . \\( ${skipped} \\) -o -type f -print 2>/dev/null | LC_ALL=C sort | head -n ${MAX_FILES} | head -c 65000`,
    cwd: folder,
    timeout: SECONDS,
    signal: AbortSignal.timeout(SECONDS * 1000 + 5000),
  });
  return exitCode === 0 ? pathsOf(output) : [];
}

/** Pure: lines of find; a name that was cut off in the middle is none. */
export function pathsOf(output: string): string[] {
  return output
    .slice(0, output.lastIndexOf('\n') + 1)
    .split('\n')
    .filter((line) => line.startsWith('./'))
    .map((line) => line.slice(2));
}
