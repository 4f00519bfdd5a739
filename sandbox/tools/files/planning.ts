/** The editor of an agent that plans: it reads every file, and writes its plan alone. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { text, type Tool, type ToolContext } from '../tool.js';
import { createFileEditorTool } from './tool.js';

const SECTIONS = [
  'OBJECTIVE',
  'CONTEXT SUMMARY',
  'APPROACH OVERVIEW',
  'IMPLEMENTATION STEPS',
  'TESTING AND VALIDATION',
];
const HEADERS = SECTIONS.map((title, index) => `# ${index + 1}. ${title}\n`).join('\n');

export function createPlanningTool(context: ToolContext): Tool {
  const editor = createFileEditorTool(context);
  const given = context.params['plan_path'];
  const plan =
    typeof given === 'string'
      ? resolve(context.workingDir, context.mapPath(given))
      : join(context.workingDir, '.agents_tmp', 'PLAN.md');
  return {
    ...editor,
    name: 'planning_file_editor',
    kind: 'PlanningFileEditorTool',
    actionKind: 'PlanningFileEditorAction',
    observationKind: 'PlanningFileEditorObservation',
    description: `${editor.description}\n\nEvery file can be viewed. Only the plan, ${plan}, can be changed; it is there already, with the headings of its sections: fill them in.`,
    annotations: { ...editor.annotations, title: 'planning_file_editor' },
    async prepare() {
      // A plan that is there stays. What cannot be written now, the first edit tells of.
      await mkdir(dirname(plan), { recursive: true })
        .then(() => writeFile(plan, HEADERS, { flag: 'wx' }))
        .catch(() => undefined);
    },
    async run(action, options) {
      const path = String(action['path']);
      if (action['command'] === 'view' || resolve(context.workingDir, context.mapPath(path)) === plan)
        return { ...(await editor.run(action, options)), kind: 'PlanningFileEditorObservation' };
      return {
        kind: 'PlanningFileEditorObservation',
        command: action['command'],
        content: [text(`Only the plan, ${plan}, can be changed here. ${path} can be viewed.`)],
        is_error: true,
        path: null,
        prev_exist: true,
        old_content: null,
        new_content: null,
      };
    },
  };
}
