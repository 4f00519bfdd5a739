import type { ExecutionStatus, SandboxStatus } from '../api/platform';

const SANDBOX_WORDS: Record<SandboxStatus, [text: string, tone: string]> = {
  STARTING: ['Starting', 'busy'],
  RUNNING: ['Ready', 'good'],
  PAUSED: ['Sandbox paused', 'quiet'],
  ERROR: ['Sandbox failed', 'bad'],
  MISSING: ['Sandbox gone', 'quiet'],
};

const RUN_WORDS: Record<ExecutionStatus, [text: string, tone: string]> = {
  idle: ['Waiting for you', 'good'],
  running: ['Working', 'busy'],
  paused: ['Stopped', 'quiet'],
  waiting_for_confirmation: ['Asks for your approval', 'busy'],
  finished: ['Done', 'good'],
  error: ['Failed', 'bad'],
  stuck: ['Stuck', 'bad'],
  deleting: ['Being deleted', 'quiet'],
};

/** One word for where a conversation stands: the run's status while the sandbox runs, else the sandbox's. */
export function Badge({ sandbox, run }: { sandbox: SandboxStatus; run: ExecutionStatus | null }) {
  const [text, tone] = sandbox === 'RUNNING' && run !== null ? RUN_WORDS[run] : SANDBOX_WORDS[sandbox];
  return <span className={`badge ${tone}`}>{text}</span>;
}
