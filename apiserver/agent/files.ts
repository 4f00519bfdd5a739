/** Files into a sandbox, through the agent server's upload. */
import { FormData } from 'undici';
import { AgentError, type AgentEndpoint, type AgentHttp } from './http.js';

/** Writes a small file at an absolute path. Nothing of its content reaches the sandbox's log. */
export async function uploadFile(
  http: AgentHttp,
  agent: AgentEndpoint,
  file: { path: string; content: string; signal: AbortSignal },
): Promise<void> {
  const form = new FormData();
  form.append('file', new Blob([file.content]), 'file');
  const { status } = await http.send(agent, {
    method: 'POST',
    path: `/api/file/upload?path=${encodeURIComponent(file.path)}`,
    form,
    signal: file.signal,
  });
  if (status < 200 || status > 299) throw new AgentError(`the agent server took no file (${status})`, status);
}
