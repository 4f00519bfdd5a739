/** What a whole conversation comes to: the agent's last word, and its events as a ZIP file. */
import type { AgentEvent, TextContent } from '../../contracts/agent/events.js';
import type { Conversation } from '../conversations/conversation.js';
import { createZip, type ZipEntry } from './zip.js';

/** Text of the last finish action or message of the agent; empty when there is none. */
export async function finalResponse(conversation: Conversation): Promise<string> {
  const { events } = conversation;
  for (let seq = events.index.size - 1; seq >= 0; seq--) {
    const { kind, source } = events.index.get(seq);
    if (source !== 'agent' || (kind !== 'ActionEvent' && kind !== 'MessageEvent')) continue;
    const event = JSON.parse((await events.read([seq]))[0] ?? '') as AgentEvent;
    if (event.kind === 'ActionEvent' && event.action?.kind === 'FinishAction')
      return String(event.action['message'] ?? '');
    if (event.kind === 'MessageEvent') return textOf(event.llm_message.content);
  }
  return '';
}

const textOf = (content: { type: string }[]): string =>
  content
    .filter((part): part is TextContent => part.type === 'text')
    .map((part) => part.text)
    .join('\n');

/** One JSON file for each event, named by its place. */
export async function* trajectory(conversation: Conversation): AsyncGenerator<Buffer> {
  const { events } = conversation;
  const entries = async function* (): AsyncGenerator<ZipEntry> {
    for (let at = 0; at < events.index.size; at += 64) {
      const seqs = Array.from({ length: Math.min(64, events.index.size - at) }, (_, n) => at + n);
      for (const [n, text] of (await events.read(seqs)).entries()) {
        const seq = at + n;
        yield {
          name: `events/event-${String(seq).padStart(5, '0')}-${events.index.get(seq).id}.json`,
          data: Buffer.from(text),
        };
      }
    }
  };
  yield* createZip(entries());
}
