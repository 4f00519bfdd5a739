/** Shell commands in a sandbox, through the agent server's bash routes. */
import { z } from 'zod';
import { AgentError, type AgentEndpoint, type AgentHttp } from './http.js';

export interface BashResult {
  exitCode: number;
  /** Standard output and error together, the last 64 KiB. */
  output: string;
}

const outputSchema = z.object({
  exit_code: z.number().int().nullable(),
  stdout: z.string().nullish(),
  stderr: z.string().nullish(),
});
const TAIL = 65_536;

export interface BashCommand {
  command: string;
  cwd: string;
  /** Seconds. */
  timeout: number;
  signal: AbortSignal;
}

/** Runs to the end. Rejects with AgentError when the server does not answer, or the command did not end in time. */
export async function runBash(http: AgentHttp, agent: AgentEndpoint, command: BashCommand): Promise<BashResult> {
  const body = await http.json(agent, {
    method: 'POST',
    path: '/api/bash/execute_bash_command',
    body: { command: command.command, cwd: command.cwd, timeout: command.timeout },
    timeoutMs: command.timeout * 1000 + 10_000,
    signal: command.signal,
  });
  const parsed = outputSchema.safeParse(body);
  if (!parsed.success) throw new AgentError('the agent server answered a command in a form that is not known', 0);
  const { exit_code, stdout, stderr } = parsed.data;
  if (exit_code === null) throw new AgentError(`the command did not end within ${command.timeout} s`, 0);
  return { exitCode: exit_code, output: `${stdout ?? ''}${stderr ?? ''}`.slice(-TAIL) };
}

/** One word of a shell command, whatever it holds. */
export function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
