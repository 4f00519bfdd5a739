/** Names of the tools, without anything heavy: loaded by the server at start. */
import { findChromium } from './browser/find.js';

/** Names as clients ask for them in `agent.tools[].name`, with a word about each. */
const CATALOG: Record<string, string> = {
  terminal: 'Runs commands in a terminal that keeps its state.',
  file_editor: 'Views, creates and edits files.',
  planning_file_editor: 'Views files, and edits the plan alone.',
  task_tracker: 'Keeps the list of tasks.',
  glob: 'Finds files by a pattern of their path.',
  grep: 'Finds lines by a regular expression.',
  browser_tool_set: 'Opens web pages in a browser, reads them, clicks and types.',
  task_tool_set: 'Gives parts of the work to sub-agents.',
};

export const toolNames = (): string[] => Object.keys(CATALOG);
/** Those that this machine can offer. */
export const usableTools = (env: Readonly<Record<string, string>>): string[] =>
  toolNames().filter((name) => name !== 'browser_tool_set' || findChromium(env) !== undefined);
export const toolCatalog = (): { name: string; description: string }[] =>
  Object.entries(CATALOG).map(([name, description]) => ({ name, description }));
