/** `/v1`: each saved model is offered as `openhands_<profile>`, behind which an agent works. */
import { randomUUID } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Context } from '../context.js';
import type { LlmConfig } from '../../contracts/agent/requests.js';
import { combined } from '../conversations/stats.js';
import { startSchema } from '../conversations/requests.js';
import type { Live } from '../conversations/service.js';
import { userMessage } from '../conversations/new-record.js';
import { headerOf, requireBearer, requireReady } from '../http/auth.js';
import { badRequest, HttpError, notFound } from '../http/errors.js';
import { bodyOf } from '../http/route.js';
import { pathUuid } from '../http/validate.js';
import { noProfile } from '../services/profiles.js';
import { finalResponse } from '../services/trajectory.js';

const PREFIX = 'openhands_';
const RUN_MS = 120_000;
const CONVERSATION = 'x-openhands-serverconversation-id';

const part = z.looseObject({
  type: z.string(),
  text: z.string().nullish(),
  image_url: z.union([z.string(), z.looseObject({ url: z.string() }).transform(({ url }) => url)]).nullish(),
});
const chatSchema = z.looseObject({
  model: z.string(),
  messages: z.array(
    z.looseObject({
      role: z.enum(['system', 'developer', 'user', 'assistant', 'tool']),
      content: z.union([z.string().transform((text) => [{ type: 'text', text }]), z.array(part)]).nullish(),
    }),
  ),
  stream: z.boolean().default(false),
  stream_options: z.looseObject({ include_usage: z.boolean().default(false) }).nullish(),
});
type Chat = z.infer<typeof chatSchema>;
type Parts = NonNullable<Chat['messages'][number]['content']>;

export function openAiRoutes(app: FastifyInstance, context: Context): void {
  app.register(async (scope) => {
    scope.addHook('onRequest', async (request) => {
      requireReady(context);
      requireBearer(context, request.headers);
    });
    scope.get('/v1/models', async () => ({
      object: 'list',
      data: (await context.profiles.names()).map((name) => ({
        id: `${PREFIX}${name}`,
        object: 'model',
        created: 0,
        owned_by: 'openhands',
      })),
    }));
    scope.post('/v1/chat/completions', async (request, reply) => {
      const chat = bodyOf(request, chatSchema);
      const live = await ask(context, chat, await modelOf(context, chat.model), conversationOf(request));
      const answer = await answerOf(live, { model: chat.model, created: Math.floor(context.clock.now() / 1000) });
      void reply.header(CONVERSATION, live.conversation.id);
      if (!chat.stream) return reply.send(answer);
      return reply.type('text/event-stream').send(chunksOf(answer, chat.stream_options?.include_usage === true));
    });
    scope.post('/v1/responses', (request) => {
      const { model } = bodyOf(request, z.looseObject({ model: z.string() }));
      throw unknownModel(model);
    });
  });
}

const unknownModel = (model: string) => notFound(`Unknown OpenHands model '${model}'. Use GET /v1/models.`);

async function modelOf({ profiles }: Context, model: string): Promise<LlmConfig> {
  if (!model.startsWith(PREFIX) || model === PREFIX) throw unknownModel(model);
  const name = model.slice(PREFIX.length);
  const llm = await profiles.find(name);
  if (llm === undefined) throw noProfile(name);
  return { ...llm, usage_id: 'agent' };
}

function conversationOf(request: FastifyRequest): string | undefined {
  const given = headerOf(request.headers, CONVERSATION);
  return given === undefined ? undefined : pathUuid(given, CONVERSATION);
}

/** Puts the newest message to a conversation, a new one or that of `id`, and waits for the end of its run. */
async function ask(context: Context, chat: Chat, llm: LlmConfig, id: string | undefined): Promise<Live> {
  const { conversations } = context;
  const content = contentOf(chat.messages.findLast(({ role }) => role === 'user')?.content);
  const known = id === undefined ? undefined : await conversations.live(id);
  const message = { role: 'user' as const, content, run: true };
  const request = startSchema.parse({
    ...(await startOf(context, llm, systemText(chat))),
    ...(id === undefined ? {} : { conversation_id: id }),
    initial_message: message,
  });
  if (known !== undefined && request.initial_message != null)
    await conversations.message(known, userMessage(request.initial_message), { run: true });
  const live = known ?? (await conversations.live((await conversations.create(request)).record.id));
  if (live === undefined) throw notFound();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'late'>((resolve) => (timer = setTimeout(() => resolve('late'), RUN_MS)));
  const end = await Promise.race([live.runner.ended(), late]);
  clearTimeout(timer);
  if (end === 'late') throw new HttpError(504, 'Agent run timed out');
  return live;
}

/** The settings of this server with that model. */
async function startOf(context: Context, llm: LlmConfig, system: string): Promise<Record<string, unknown>> {
  const { agent, conversation } = await context.settings.read();
  const known = agent['agent_context'] as { system_message_suffix?: string | null } | undefined;
  const suffix = [known?.system_message_suffix ?? '', system].filter((words) => words.trim() !== '').join('\n\n');
  return {
    agent_settings: {
      ...agent,
      llm,
      agent_context: { ...known, system_message_suffix: suffix === '' ? null : suffix },
    },
    workspace: { working_dir: '/workspace/project' },
    confirmation_policy: { kind: conversation['confirmation_mode'] === true ? 'AlwaysConfirm' : 'NeverConfirm' },
    ...(typeof conversation['max_iterations'] === 'number' ? { max_iterations: conversation['max_iterations'] } : {}),
    autotitle: false,
  };
}

const systemText = ({ messages }: Chat): string =>
  messages
    .filter(({ role }) => role === 'system' || role === 'developer')
    .flatMap(({ content }) => content?.flatMap(({ text }) => text ?? []) ?? [])
    .join('\n\n');

function contentOf(parts: Parts | null | undefined) {
  if (parts == null || parts.length === 0) throw badRequest('At least one user message is required');
  return parts.map((given) => {
    const url = 'image_url' in given ? given.image_url : undefined;
    if (given.type === 'text') return { type: 'text' as const, text: given.text ?? '' };
    if (given.type !== 'image_url') throw badRequest(`Unsupported content part type: ${given.type}`);
    if (typeof url !== 'string') throw badRequest('image_url content part is missing a url');
    return { type: 'image' as const, image_urls: [url] };
  });
}

async function answerOf({ conversation }: Live, { model, created }: { model: string; created: number }) {
  const status = conversation.status();
  const ended = `Agent run ended with status: ${status}`;
  if (status === 'error' || status === 'stuck') throw new HttpError(500, ended);
  if (status !== 'finished') throw new HttpError(409, ended);
  const used = combined(conversation.record.stats).accumulated_token_usage;
  const [prompt, completion] = [used?.prompt_tokens ?? 0, used?.completion_tokens ?? 0];
  return {
    id: `chatcmpl-${randomUUID().replaceAll('-', '')}`,
    object: 'chat.completion',
    created,
    model,
    choices: [
      { index: 0, finish_reason: 'stop', message: { role: 'assistant', content: await finalResponse(conversation) } },
    ],
    usage: { prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion },
  };
}

/** The answer as server-sent events. It comes in one piece: what an agent says on the way is not the answer. */
function chunksOf(answer: Awaited<ReturnType<typeof answerOf>>, withUsage: boolean): string {
  const { choices, usage, ...head } = answer;
  const chunk = (delta: object, reason: string | null = null) => ({
    ...head,
    object: 'chat.completion.chunk',
    choices: [{ index: 0, delta, ...(reason === null ? {} : { finish_reason: reason }) }],
  });
  const chunks = [
    chunk({ role: 'assistant' }),
    chunk({ content: choices[0]?.message.content }),
    chunk({}, 'stop'),
    ...(withUsage ? [{ ...chunk({}), choices: [], usage }] : []),
  ];
  return [...chunks.map((each) => JSON.stringify(each)), '[DONE]'].map((data) => `data: ${data}\n\n`).join('');
}
