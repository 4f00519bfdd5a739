/** The task list: what the agent plans and how far it is, kept in the conversation's folder. */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { text, type Action, type Observation, type Tool, type ToolContext, type ToolDefinition } from './tool.js';

const task = z.strictObject({
  title: z.string().describe('What is to be done, in a few words.'),
  notes: z.string().default('').describe('Details.'),
  status: z.enum(['todo', 'in_progress', 'done']).default('todo').describe('At most one task should be in_progress.'),
});
const schema = z.strictObject({
  command: z.enum(['view', 'plan']).default('view').describe('view: show the list. plan: replace it by task_list.'),
  task_list: z.array(task).max(500).default([]).describe('plan: the whole list, also the tasks that are done.'),
});
type Task = z.infer<typeof task>;

export const taskTrackerDefinition: ToolDefinition = {
  name: 'task_tracker',
  kind: 'TaskTrackerTool',
  actionKind: 'TaskTrackerAction',
  observationKind: 'TaskTrackerObservation',
  description:
    'Keeps the list of tasks of this conversation. Use it for work of several steps: plan at the beginning, then plan again with the new status of each task as you go. The user sees the list.',
  annotations: {
    title: 'task_tracker',
    readOnlyHint: false,
    destructiveHint: false,
    idempotentHint: true,
    openWorldHint: false,
  },
  schema,
};

const SIGN: Record<Task['status'], string> = { todo: '[ ]', in_progress: '[>]', done: '[x]' };

function listing(tasks: Task[]): string {
  if (tasks.length === 0) return 'The task list is empty.';
  return tasks
    .map(
      (each, index) =>
        `${index + 1}. ${SIGN[each.status]} ${each.title}${each.notes === '' ? '' : `\n   ${each.notes}`}`,
    )
    .join('\n');
}

export function createTaskTrackerTool(context: ToolContext): Tool {
  const file = join(context.dataDir, 'TASKS.json');
  const load = async (): Promise<Task[]> => {
    try {
      return z.array(task).parse(JSON.parse(await readFile(file, 'utf8')));
    } catch {
      return [];
    }
  };
  const save = async (tasks: Task[]): Promise<void> => {
    await mkdir(context.dataDir, { recursive: true });
    await writeFile(`${file}.new`, JSON.stringify(tasks));
    await rename(`${file}.new`, file);
  };
  async function run(action: Action): Promise<Observation> {
    const { kind: _kind, ...fields } = action;
    const { command, task_list } = schema.parse(fields) as z.infer<typeof schema>;
    if (command === 'plan') await save(task_list);
    const tasks = command === 'plan' ? task_list : await load();
    const said = command === 'plan' ? `Task list has been updated with ${tasks.length} item(s).` : listing(tasks);
    return { content: [text(said)], is_error: false, command, task_list: tasks, kind: 'TaskTrackerObservation' };
  }
  return { ...taskTrackerDefinition, run };
}
