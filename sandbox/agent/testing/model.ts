/** A scripted OpenAI-compatible server on loopback: each request takes the next turn. */
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Turn {
  text?: string;
  reasoning?: string;
  calls?: { tool: string; args?: unknown; raw?: string; id?: string }[];
  error?: { status: number; message: string; code?: string; headers?: Record<string, string> };
  /** Waits for this before it answers. */
  hold?: Promise<unknown>;
}
export interface ModelRequest {
  messages: {
    role: string;
    content: unknown;
    tool_calls?: { id: string; function: { name: string; arguments: string } }[];
    tool_call_id?: string;
  }[];
  tools?: { function: { name: string; parameters: { properties: Record<string, unknown> } } }[];
  stream?: boolean;
  /** The header, as it came. */
  authorization?: string;
  [field: string]: unknown;
}
export interface ScriptedModel {
  url: string;
  requests: ModelRequest[];
  /** Further turns; the last one stays. */
  script(...turns: Turn[]): void;
  close(): Promise<void>;
}

async function body(request: IncomingMessage): Promise<ModelRequest> {
  let raw = '';
  for await (const chunk of request) raw += String(chunk);
  return JSON.parse(raw) as ModelRequest;
}

export async function startModel(): Promise<ScriptedModel> {
  const requests: ModelRequest[] = [];
  let turns: Turn[] = [];
  const server = createServer((request, response) => {
    void (async () => {
      const asked = await body(request);
      const { authorization } = request.headers;
      const n = requests.push(authorization === undefined ? asked : { ...asked, authorization });
      const turn = (turns.length > 1 ? turns.shift() : turns[0]) ?? { text: 'no script' };
      await turn.hold;
      if (turn.error !== undefined) {
        response.writeHead(turn.error.status, { 'content-type': 'application/json', ...turn.error.headers });
        return response.end(
          JSON.stringify({ error: { message: turn.error.message, type: 'scripted', code: turn.error.code ?? null } }),
        );
      }
      const calls = turn.calls?.map((call, index) => ({
        id: call.id ?? `call_${n}_${index}`,
        type: 'function',
        function: { name: call.tool, arguments: call.raw ?? JSON.stringify(call.args ?? {}) },
      }));
      const head = { id: `resp-${n}`, created: 1700000000, model: 'scripted' };
      const usage = { prompt_tokens: 100, completion_tokens: 10, total_tokens: 110 };
      const finish = calls === undefined ? 'stop' : 'tool_calls';
      if (asked.stream !== true) {
        const message = {
          role: 'assistant',
          content: turn.text ?? null,
          ...(turn.reasoning === undefined ? {} : { reasoning_content: turn.reasoning }),
          ...(calls === undefined ? {} : { tool_calls: calls }),
        };
        response.writeHead(200, { 'content-type': 'application/json' });
        return response.end(
          JSON.stringify({
            ...head,
            object: 'chat.completion',
            choices: [{ index: 0, message, finish_reason: finish }],
            usage,
          }),
        );
      }
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      const send = (delta: unknown, more: object = {}): void =>
        void response.write(
          `data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason: null, ...more }] })}\n\n`,
        );
      send({ role: 'assistant', content: '' });
      if (turn.reasoning !== undefined) send({ reasoning_content: turn.reasoning });
      for (const part of turn.text?.match(/.{1,5}/gs) ?? []) send({ content: part });
      for (const [index, call] of (calls ?? []).entries()) send({ tool_calls: [{ index, ...call }] });
      send({}, { finish_reason: finish });
      response.write(`data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', choices: [], usage })}\n\n`);
      return response.end('data: [DONE]\n\n');
      // A client that is gone before its request was read.
    })().catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    requests,
    script: (...next) => void (turns = next),
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
