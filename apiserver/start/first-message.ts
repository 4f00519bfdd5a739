/** The first message of a conversation: what was typed, or what a suggested task and the values for plugins make of it. Pure. */
import { ApiError } from '../http/errors.js';
import { type PluginSpec, type StartRequest } from './request.js';
import { promptOf } from './suggested.js';

/** A suggested task fills what the request leaves open. Throws 400 when there is a message as well. */
export function withSuggestedTask(request: StartRequest): StartRequest {
  const task = request.suggested_task;
  if (task === null) return request;
  if (request.initial_message !== null)
    throw new ApiError('bad_body', {
      text: 'initial_message cannot be provided when suggested_task is present',
    });
  return {
    ...request,
    initial_message: { role: 'user', content: [textOf(promptOf(task))], run: true },
    trigger: 'suggested_task',
    selected_repository: request.selected_repository ?? task.repo,
    git_provider: request.git_provider ?? task.git_provider,
  };
}

/** A plugin's values are told to the agent in words: it is the agent that a plugin instructs. */
export function withPluginValues(
  message: StartRequest['initial_message'],
  plugins: readonly PluginSpec[] | null,
): StartRequest['initial_message'] {
  const told = (plugins ?? []).flatMap(({ source, parameters }) => {
    const lines = Object.entries(parameters ?? {}).map(([name, value]) => `- ${name}: ${String(value)}`);
    return lines.length === 0 ? [] : [`${source.split('/').at(-1) ?? source}:\n${lines.join('\n')}`];
  });
  if (told.length === 0) return message;
  const words = textOf(`Plugin configuration parameters:\n${told.join('\n')}`);
  return message === null
    ? { role: 'user', content: [words], run: true }
    : { ...message, content: [...message.content, words] };
}

const textOf = (text: string) => ({ type: 'text' as const, text, cache_prompt: false });
