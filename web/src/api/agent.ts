/** The agent server of one sandbox, reached through the gateway with its session key. */
import { call } from './http';

export interface Agent {
  /** Address of the agent server without trailing slash. */
  base: string;
  sessionKey: string;
  conversationId: string;
}

/** `conversation_url` is `{base}/api/conversations/{id}`. */
export function agentOf(conversation: {
  id: string;
  conversation_url: string | null;
  session_api_key: string | null;
}): Agent | undefined {
  if (conversation.conversation_url === null || conversation.session_api_key === null) return undefined;
  const cut = conversation.conversation_url.indexOf('/api/conversations/');
  if (cut === -1) return undefined;
  return {
    base: conversation.conversation_url.slice(0, cut),
    sessionKey: conversation.session_api_key,
    conversationId: conversation.id,
  };
}

const post = (agent: Agent, path: string, body: unknown = {}) =>
  call<unknown>(`${agent.base}/api${path}`, { method: 'POST', body, sessionKey: agent.sessionKey });
const conversation = (agent: Agent) => `/conversations/${agent.conversationId}`;

export const stopRun = (agent: Agent) => post(agent, `${conversation(agent)}/interrupt`);
export const continueRun = (agent: Agent) => post(agent, `${conversation(agent)}/run`);
export const sendByHttp = (agent: Agent, text: string) =>
  post(agent, `${conversation(agent)}/events`, { role: 'user', content: [{ type: 'text', text }], run: true });
export const confirm = (agent: Agent, accept: boolean) =>
  post(agent, `${conversation(agent)}/events/respond_to_confirmation`, {
    accept,
    ...(accept ? {} : { reason: 'The user rejected it.' }),
  });

export interface VscodeInstall {
  state: 'absent' | 'installing' | 'installed' | 'failed';
  /** What it does now, or why it failed. */
  message: string;
  /** 0 to 100. */
  percent: number;
}

export const vscodeInstall = (agent: Agent) =>
  call<VscodeInstall>(`${agent.base}/api/vscode/install`, { sessionKey: agent.sessionKey });
export const startVscodeInstall = (agent: Agent) => post(agent, '/vscode/install');
export const vscodeUrl = (agent: Agent) =>
  call<{ url: string | null }>(`${agent.base}/api/vscode/url`, { sessionKey: agent.sessionKey });

export interface ListeningApp {
  port: number;
  process: string | null;
  title: string | null;
}

export const listApps = (agent: Agent) =>
  call<{ apps: ListeningApp[] }>(`${agent.base}/api/apps`, { sessionKey: agent.sessionKey });
