/** A model provider on this machine, in the form of OpenAI: writes one line of a plan where it may, and answers in words elsewhere. */
import { createServer, type ServerResponse } from 'node:http';
import { json } from 'node:stream/consumers';
import { listenLocal } from '../../gateway/testing/harness.js';

export const PLANNED = 'Write the greeting first.';
export const BUILT = 'The plan is carried out.';
export const PLAN_READY = 'The plan is written.';
const PLANNER = 'planning_file_editor';

interface Body {
  model: string;
  stream?: boolean;
  tools?: { function?: { name?: string; description?: string } }[];
  messages: { role: string }[];
}

export async function startPlanningModel(): Promise<{ url: string; close(): void }> {
  const server = createServer((request, response) => {
    json(request).then(
      (body) => answer(response, body as Body),
      () => response.writeHead(400).end(),
    );
  });
  const port = await listenLocal(server);
  return { url: `http://127.0.0.1:${port}/v1`, close: () => server.close() };
}

function messageOf({ tools = [], messages }: Body): { content: string | null; tool_calls?: object[] } {
  const editor = tools.find((tool) => tool.function?.name === PLANNER);
  if (editor === undefined) return { content: BUILT };
  if (messages.some(({ role }) => role === 'tool')) return { content: PLAN_READY };
  const path = /Only the plan, (\S+), can be changed/.exec(editor.function?.description ?? '')?.[1] ?? '';
  const call = { command: 'insert', path, insert_line: 0, new_str: PLANNED, summary: 'plan', security_risk: 'LOW' };
  return {
    content: null,
    tool_calls: [{ id: 'call_1', type: 'function', function: { name: PLANNER, arguments: JSON.stringify(call) } }],
  };
}

function answer(response: ServerResponse, body: Body): void {
  const message = { role: 'assistant', ...messageOf(body) };
  const finish_reason = message.tool_calls === undefined ? 'stop' : 'tool_calls';
  const usage = { prompt_tokens: 100, completion_tokens: 10, total_tokens: 110 };
  const head = { id: 'cmpl-1', created: 1, model: body.model };
  if (body.stream !== true) {
    const whole = { ...head, object: 'chat.completion', usage, choices: [{ index: 0, message, finish_reason }] };
    return void response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(whole));
  }
  const chunk = (delta: object, reason: string | null = null) =>
    `data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', usage, choices: [{ index: 0, delta, finish_reason: reason }] })}\n\n`;
  const delta = { ...message, tool_calls: message.tool_calls?.map((call, index) => ({ index, ...call })) };
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.end(`${chunk(delta)}${chunk({}, finish_reason)}data: [DONE]\n\n`);
}
