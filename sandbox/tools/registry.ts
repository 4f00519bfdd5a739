/** The tools of one conversation, from the names that its agent was given. */
import { noChromium } from './browser/find.js';
import { createBrowserTools } from './browser/tool.js';
import { createFinishTool, createThinkTool } from './builtin.js';
import { createPlanningTool } from './files/planning.js';
import { createFileEditorTool } from './files/tool.js';
import { createGlobTool, createGrepTool } from './search.js';
import { createSwitchTool } from './switch-llm.js';
import { createTaskTool } from './task.js';
import { createTaskTrackerTool } from './task-tracker.js';
import { createTerminalTool } from './terminal/tool.js';
import type { Tool, ToolContext } from './tool.js';

/** A name that clients ask for may stand for several tools. */
const MAKERS: Record<string, (context: ToolContext) => Tool | Tool[]> = {
  terminal: createTerminalTool,
  file_editor: createFileEditorTool,
  planning_file_editor: createPlanningTool,
  task_tracker: createTaskTrackerTool,
  glob: createGlobTool,
  grep: createGrepTool,
  browser_tool_set: createBrowserTools,
  task_tool_set: ({ subAgents }) => createTaskTool(subAgents),
};
/** Other names that clients use: class names, and those of earlier versions. */
const ALIASES: Record<string, string> = {
  TerminalTool: 'terminal',
  BashTool: 'terminal',
  execute_bash: 'terminal',
  FileEditorTool: 'file_editor',
  str_replace_editor: 'file_editor',
  PlanningFileEditorTool: 'planning_file_editor',
  TaskTrackerTool: 'task_tracker',
  GlobTool: 'glob',
  GrepTool: 'grep',
  BrowserToolSet: 'browser_tool_set',
  browser_use: 'browser_tool_set',
  TaskToolSet: 'task_tool_set',
  TaskTool: 'task_tool_set',
  task: 'task_tool_set',
};
const DEFAULTS: Record<string, (context: Omit<ToolContext, 'params'>) => Tool> = {
  FinishTool: createFinishTool,
  ThinkTool: createThinkTool,
  SwitchLLMTool: ({ models }) => createSwitchTool(models),
};

export interface ToolRequest {
  tools: { name: string; params: Record<string, unknown> }[];
  /** Class names of the tools that are there without being asked for. */
  defaults: string[];
  /** Only tools whose name matches. */
  filter: string | null;
}

/** Unknown names are skipped and given back, so that they can be logged; so are tools that this machine cannot offer, with the reason. */
export function createTools(
  request: ToolRequest,
  context: Omit<ToolContext, 'params'>,
): { tools: Map<string, Tool>; unknown: string[]; missing: { name: string; problem: string }[] } {
  const missing: { name: string; problem: string }[] = [];
  const tools = new Map<string, Tool>();
  const unknown: string[] = [];
  const wanted = toolFilter(request.filter);
  const made = new Set<string>();
  for (const { name, params } of request.tools) {
    const real = ALIASES[name] ?? name;
    const make = MAKERS[real];
    if (make === undefined) unknown.push(name);
    else if (!made.has(real)) {
      const list = [make({ ...context, params })].flat();
      if (list.length === 0) missing.push({ name: real, problem: noChromium(context.environment()) });
      for (const tool of list) if (wanted(tool.name)) tools.set(tool.name, tool);
    }
    made.add(real);
  }
  for (const name of request.defaults) {
    const tool = DEFAULTS[name]?.(context);
    if (tool === undefined) unknown.push(name);
    else if (!tools.has(tool.name)) tools.set(tool.name, tool);
  }
  return { tools, unknown, missing };
}

/** Whether an agent with that `filter_tools_regex` wants the tool of a name. */
export function toolFilter(source: string | null): (name: string) => boolean {
  if (source === null || source === '') return () => true;
  try {
    const pattern = new RegExp(source);
    return (name) => pattern.test(name);
  } catch {
    return () => true;
  }
}
