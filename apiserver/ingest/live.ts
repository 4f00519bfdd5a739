/**
 * What running conversations do now, asked of their agent servers when somebody looks: webhooks tell it a little later.
 * One call a sandbox however many look, an answer is good for half a second, and a slow agent never makes a list slow.
 */
import { z } from 'zod';
import { conversationDashed, conversationHex } from '../../contracts/names.js';
import type { Sandbox } from '../../contracts/resources.js';
import type { Clock } from '../../kube/types.js';
import { endpointOf, type AgentHttp } from '../agent/http.js';
import { statusOf } from '../sandboxes/status.js';
import { infoSchema, type ConversationInfo } from './ingest.js';

export interface LiveStatus {
  /** By conversation id (hex); what no running agent server answers in time is missing. */
  of(wanted: { id: string; sandbox: Sandbox | undefined }[]): Promise<Map<string, ConversationInfo>>;
}

const FRESH_MS = 500;
const TIMEOUT_MS = 1_500;
const MAX_KEPT = 1_000;
/** A conversation's state with its tools and skills is some 100 KB. */
const MAX_BYTES = 8 * 1024 * 1024;
const answerSchema = z.array(infoSchema.nullable());

export function createLiveStatus({
  agents,
  secret,
  clock,
}: {
  agents: AgentHttp;
  secret: string;
  clock: Clock;
}): LiveStatus {
  const kept = new Map<string, { at: number; ids: string; answer: Promise<Map<string, ConversationInfo>> }>();

  const askSandbox = async (sandbox: Sandbox, ids: string[]): Promise<Map<string, ConversationInfo>> => {
    const agent = endpointOf(sandbox, secret);
    if (agent === undefined) return new Map();
    const query = ids.map((id) => `ids=${conversationDashed(id)}`).join('&');
    try {
      const body = await agents.json(agent, {
        path: `/api/conversations?${query}`,
        timeoutMs: TIMEOUT_MS,
        maxBytes: MAX_BYTES,
      });
      const infos = answerSchema.parse(body).filter((info) => info !== null);
      return new Map(infos.map((info) => [conversationHex(info.id), info]));
    } catch {
      // What the webhooks said last is shown instead.
      return new Map();
    }
  };

  const cached = (sandbox: Sandbox, ids: string[]): Promise<Map<string, ConversationInfo>> => {
    const name = sandbox.metadata.name;
    const key = ids.join();
    const known = kept.get(name);
    if (known !== undefined && known.ids === key && clock.now() - known.at < FRESH_MS) return known.answer;
    if (kept.size >= MAX_KEPT) kept.clear();
    const answer = askSandbox(sandbox, ids);
    kept.set(name, { at: clock.now(), ids: key, answer });
    return answer;
  };

  return {
    async of(wanted) {
      const bySandbox = new Map<Sandbox, string[]>();
      for (const { id, sandbox } of wanted) {
        if (sandbox === undefined || statusOf(sandbox) !== 'RUNNING') continue;
        bySandbox.set(sandbox, [...(bySandbox.get(sandbox) ?? []), id]);
      }
      const answers = await Promise.all([...bySandbox].map(([sandbox, ids]) => cached(sandbox, ids)));
      return new Map(answers.flatMap((answer) => [...answer]));
    },
  };
}
