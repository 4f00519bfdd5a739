/** The tools that every agent has: saying that the work is done, and thinking aloud. */
import { z } from 'zod';
import { text, type Tool, type ToolDefinition } from './tool.js';

const quiet = (title: string): ToolDefinition['annotations'] => ({
  title,
  readOnlyHint: true,
  destructiveHint: false,
  idempotentHint: true,
  openWorldHint: false,
});

export const finishDefinition: ToolDefinition = {
  name: 'finish',
  kind: 'FinishTool',
  actionKind: 'FinishAction',
  observationKind: 'FinishObservation',
  description:
    'Ends the work on the current task. Call it when the task is done, or when you cannot go on without the user, and say plainly what was done, what was not, and what you need.',
  annotations: quiet('finish'),
  schema: z.strictObject({ message: z.string().describe('The last word to the user.') }),
};

export const thinkDefinition: ToolDefinition = {
  name: 'think',
  kind: 'ThinkTool',
  actionKind: 'ThinkAction',
  observationKind: 'ThinkObservation',
  description: 'Notes a thought and changes nothing. Use it to weigh a difficult step before you take it.',
  annotations: quiet('think'),
  schema: z.strictObject({ thought: z.string().describe('The thought.') }),
};

export const createFinishTool = (): Tool => ({
  ...finishDefinition,
  run: (action) =>
    Promise.resolve({ content: [text(String(action['message'] ?? ''))], is_error: false, kind: 'FinishObservation' }),
});

export const createThinkTool = (): Tool => ({
  ...thinkDefinition,
  run: () =>
    Promise.resolve({ content: [text('Your thought has been logged.')], is_error: false, kind: 'ThinkObservation' }),
});
