import type { SandboxProgress, StartTask } from '../api/platform';

export interface Step {
  label: string;
  state: 'done' | 'now' | 'later' | 'failed';
  note?: string;
}

const ORDER = [
  'WORKING',
  'WAITING_FOR_SANDBOX',
  'PREPARING_REPOSITORY',
  'RUNNING_SETUP_SCRIPT',
  'SETTING_UP_GIT_HOOKS',
  'SETTING_UP_SKILLS',
  'STARTING_CONVERSATION',
  'READY',
];

/** What a person watches while a sandbox comes up, from the start task's status and the sandbox's conditions. */
export function startSteps(task: StartTask | undefined, progress: SandboxProgress | undefined): Step[] {
  const failed = task?.status === 'ERROR';
  const reached = ORDER.indexOf(task?.status ?? 'WORKING');
  const past = (status: string) => reached > ORDER.indexOf(status);
  const holds = (type: string) => progress?.conditions.find((condition) => condition.type === type)?.status === 'True';
  const note = (type: string) =>
    progress?.conditions.find((condition) => condition.type === type && condition.status !== 'True')?.message;
  const facts: [label: string, done: boolean, note?: string][] = [
    ['Request accepted', task !== undefined],
    [
      progress?.pool == null ? 'Sandbox created' : `Warm sandbox claimed from pool ${progress.pool}`,
      task?.sandbox_id != null && progress !== undefined,
    ],
    [
      'Pod ready',
      holds('PodReady') || past('WAITING_FOR_SANDBOX'),
      note('PodScheduled') ?? note('WorkspaceReady') ?? note('PodReady'),
    ],
    ['Agent ready', holds('AgentReady') || past('WAITING_FOR_SANDBOX'), note('AgentReady')],
    ['Workspace prepared', past('SETTING_UP_SKILLS')],
    ['Conversation started', task?.status === 'READY'],
  ];
  const firstOpen = facts.findIndex(([, done]) => !done);
  return facts.map(([label, done, text], index) => ({
    label,
    state: done ? 'done' : index !== firstOpen ? 'later' : failed ? 'failed' : 'now',
    ...(index === firstOpen && text !== undefined && text !== '' ? { note: text } : {}),
  }));
}
