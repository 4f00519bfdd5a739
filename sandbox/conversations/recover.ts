import type { AgentRuntime } from '../seam.js';
import type { Conversation } from './conversation.js';

/** After a crash in a run: every call without a result gets an error, the status says it, and a run may go on. */
export async function recoverRun(conversation: Conversation, runtime: AgentRuntime): Promise<void> {
  await conversation.exclusive(async () => {
    const open = await runtime.recover(conversation);
    if (open === 0)
      await conversation.append({
        kind: 'ConversationErrorEvent',
        code: 'ServerRestarted',
        detail: 'The server restarted while the agent was at work. Nothing was lost; run the conversation to go on.',
        classification: { kind: 'internal', retryable: true, user_action: 'retry' },
      });
    await conversation.setStatus('error');
  });
}
