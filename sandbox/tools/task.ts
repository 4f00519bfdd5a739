/** The task tool: gives a part of the work to a sub-agent, waits for it, and brings back what it says. */
import { z } from 'zod';
import type { Child, ChildEnd } from '../seam.js';
import { agentNamed, type AgentDefinition } from '../services/sub-agents.js';
import { text, type Content, type Observation, type SubAgents, type Tool } from './tool.js';

const schema = z.strictObject({
  description: z.string().nullish().describe('The task in three to five words, for the user.'),
  prompt: z.string().describe('The task: all that the sub-agent must know, and what it is to report.'),
  subagent_type: z.string().default('general-purpose').describe('Which sub-agent is to do it.'),
  resume: z.string().nullish().describe('The task id of an earlier task whose sub-agent is to go on.'),
});
type Call = z.infer<typeof schema>;

/** Sub-agents may have sub-agents, to this depth. */
const MAX_DEPTH = 2;
const MAX_TASKS = 100;

const DESCRIPTION = `Gives a part of the work to a sub-agent with a conversation of its own, waits until it is done, and returns what it reports. Use it for work of several steps that would fill your own context (exploring much code, long test runs, research), not for a single command or an edit. The sub-agent knows nothing of this conversation: write everything it needs into the prompt, with paths, and say what it is to report.`;

const described = (agents: readonly AgentDefinition[]): string =>
  [
    DESCRIPTION,
    '',
    'Sub-agents (subagent_type):',
    ...[...agents]
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .map(({ name, description, tools }) => {
        const has = tools.length === 0 ? '' : ` (tools: ${tools.join(', ')})`;
        return `- ${name}: ${description.replace(/\s+/g, ' ').trim().slice(0, 1000)}${has}`;
      }),
  ].join('\n');

export function createTaskTool(sub: SubAgents | undefined): Tool {
  const tool: Tool = {
    name: 'task',
    kind: 'TaskTool',
    actionKind: 'TaskAction',
    observationKind: 'TaskObservation',
    description: DESCRIPTION,
    annotations: {
      title: 'task',
      readOnlyHint: false,
      destructiveHint: true,
      idempotentHint: false,
      openWorldHint: true,
    },
    schema,
    concurrent: true,
    async prepare() {
      if (sub !== undefined) tool.description = described(await sub.definitions());
    },
    async run(action, options) {
      const { kind: _kind, ...fields } = action;
      const call = schema.parse(fields);
      try {
        if (sub === undefined) throw new Error('Sub-agents cannot be started here.');
        const child = await childOf(sub, call);
        return observed(call, child, await sub.work(child, call.prompt, options));
      } catch (error) {
        if (options.signal.aborted) throw error;
        const why = error instanceof Error ? error.message : String(error);
        return failed(call, `Failed to execute task: ${why}`);
      }
    },
    modelContent: shown,
  };
  return tool;
}

async function childOf(sub: SubAgents, call: Call): Promise<Child> {
  const known = sub.list();
  if (call.resume != null && call.resume !== '') {
    const child = known.find((each) => each.name === call.resume);
    if (child !== undefined) return child;
    const names = known.map((each) => each.name).sort();
    throw new Error(`Task '${call.resume}' not found. Available tasks: ${names.join(', ')}`);
  }
  if (sub.depth >= MAX_DEPTH) throw new Error('A sub-agent of a sub-agent starts no further ones. Do the work here.');
  if (known.length >= MAX_TASKS)
    throw new Error(
      `This conversation has had ${MAX_TASKS} tasks, which is the limit. Resume one, or do the work here.`,
    );
  const definitions = await sub.definitions();
  const definition = agentNamed(call.subagent_type, definitions);
  if (definition === undefined) {
    const names = definitions.map((each) => each.name).sort();
    throw new Error(`Unknown agent '${call.subagent_type}'. Available types: ${names.join(', ')}.`);
  }
  return sub.create(definition, call.description ?? null);
}

const observation = (call: Call, said: string, rest: Record<string, unknown>): Observation => ({
  content: [text(said)],
  is_error: false,
  subagent: call.subagent_type,
  ...rest,
  kind: 'TaskObservation',
});
const failed = (call: Call, said: string): Observation =>
  observation(call, said, { is_error: true, task_id: 'unknown', status: 'error' });

function observed(call: Call, child: Child, end: ChildEnd): Observation {
  if (end.status === 'finished')
    return observation(call, end.answer === '' ? 'Task completed with no result.' : end.answer, {
      task_id: child.name,
      status: 'completed',
    });
  const why = end.problem ?? `Sub-agent stopped without finishing (status: ${end.status}).`;
  const partial = end.answer === '' ? '' : `\nPartial result:\n${end.answer}`;
  return observation(call, `${why}${partial}`, { is_error: true, task_id: child.name, status: 'error' });
}

/** The model needs the id to resume the task. */
function shown(observed: Observation): Content[] {
  const [id, agent, status] = ['task_id', 'subagent', 'status'].map((name) => String(observed[name]));
  return [text(`Task ID: ${id}\nSubagent: ${agent}\nStatus: ${status}`), ...observed.content];
}
