/** A stand-in for the APIs of git providers, which cannot be here: it answers in their forms what it is told to hold. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface FakeGitProvider {
  host: string;
  /** Answers by method and path without query. */
  answers: Map<string, { status?: number; body: unknown; headers?: Record<string, string> }>;
  /** Every request: `METHOD /path?query`, its Authorization and body. */
  calls: { line: string; authorization: string; body: string }[];
  close(): Promise<void>;
}

export async function startFakeGitProvider(): Promise<FakeGitProvider> {
  const answers: FakeGitProvider['answers'] = new Map();
  const calls: FakeGitProvider['calls'] = [];
  const server = createServer((request, response) => {
    const line = `${request.method ?? ''} ${request.url ?? ''}`;
    const call = { line, authorization: request.headers.authorization ?? '', body: '' };
    calls.push(call);
    request.setEncoding('utf8').on('data', (text: string) => (call.body += text));
    const { status = 200, body, headers = {} } = answers.get(line.split('?')[0] ?? '') ?? { status: 404, body: {} };
    request.on('end', () => {
      response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    answers,
    calls,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
