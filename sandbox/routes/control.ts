/** What is done with one conversation: run, pause, secrets, policies, forks, side questions. */
import type { FastifyInstance } from 'fastify';
import { NoCondenserError } from '../seam.js';
import type { Context } from '../context.js';
import {
  askSchema,
  forkSchema,
  goalSchema,
  navigateSchema,
  secretsSchema,
  setAnalyzerSchema,
  setPolicySchema,
  switchLlmSchema,
  switchProfileSchema,
} from '../conversations/requests.js';
import { HttpError, notFound } from '../http/errors.js';
import { allowedSecrets } from '../services/agent-profiles/launch.js';
import { bodyOf, conversationId, SUCCESS } from '../http/route.js';
import { noProfile } from '../services/profiles.js';
import { finalResponse } from '../services/trajectory.js';
import { liveOf } from './conversations.js';

const MODEL_MS = 120_000;
const BASE = '/api/conversations/:conversation_id';

export function controlRoutes(app: FastifyInstance, context: Context): void {
  const { conversations } = context;

  app.post(`${BASE}/run`, async (request) => {
    await (await liveOf(context, request)).runner.run();
    return SUCCESS;
  });
  app.post(`${BASE}/pause`, async (request) => {
    await (await liveOf(context, request)).runner.pause();
    return SUCCESS;
  });
  app.post(`${BASE}/interrupt`, async (request) => {
    await (await liveOf(context, request)).runner.interrupt();
    return SUCCESS;
  });
  app.post(`${BASE}/goal`, async (request) => {
    conversationId(request);
    const { objective, max_iterations: rounds } = bodyOf(request, goalSchema);
    await (await liveOf(context, request)).goal.start(objective, rounds);
    return SUCCESS;
  });
  app.post(`${BASE}/goal/stop`, async (request) => {
    await (await liveOf(context, request)).goal.stop();
    return SUCCESS;
  });
  app.post(`${BASE}/goal/resume`, async (request) => {
    await (await liveOf(context, request)).goal.resume();
    return SUCCESS;
  });
  app.post(`${BASE}/secrets`, async (request) => {
    const id = conversationId(request);
    const { secrets } = bodyOf(request, secretsSchema);
    const live = await conversations.live(id);
    if (live === undefined) throw notFound();
    await live.conversation.update((record) => {
      record.secrets = { ...record.secrets, ...allowedSecrets(secrets, record.launched) };
    });
    return SUCCESS;
  });
  app.post(`${BASE}/confirmation_policy`, async (request) => {
    conversationId(request);
    const { policy } = bodyOf(request, setPolicySchema);
    const { conversation } = await liveOf(context, request);
    await conversation.update((record) => (record.confirmationPolicy = policy), ['confirmation_policy']);
    return SUCCESS;
  });
  app.post(`${BASE}/security_analyzer`, async (request) => {
    conversationId(request);
    const body = bodyOf(request, setAnalyzerSchema);
    const { conversation } = await liveOf(context, request);
    await conversation.update((record) => (record.securityAnalyzer = body.security_analyzer), ['security_analyzer']);
    return SUCCESS;
  });
  app.post(`${BASE}/switch_llm`, async (request) => {
    conversationId(request);
    const { llm } = bodyOf(request, switchLlmSchema);
    const { conversation } = await liveOf(context, request);
    await conversation.switchLlm(llm);
    return SUCCESS;
  });
  app.post(`${BASE}/switch_profile`, async (request) => {
    conversationId(request);
    const { profile_name: name } = bodyOf(request, switchProfileSchema);
    const { conversation } = await liveOf(context, request);
    const llm = await context.profiles.find(name);
    if (llm === undefined) throw noProfile(name);
    await conversation.switchLlm({ ...llm, usage_id: `profile:${name}` });
    return SUCCESS;
  });
  app.get(`${BASE}/agent_final_response`, async (request) => ({
    response: await finalResponse((await liveOf(context, request)).conversation),
  }));
  app.get(`${BASE}/runtime`, (request) => {
    if (conversations.record(conversationId(request)) === undefined) throw notFound();
    return { runtime_status: 'available', can_resume: true, runtime_error: null };
  });
  app.post(`${BASE}/ask_agent`, async (request) => {
    conversationId(request);
    const { question } = bodyOf(request, askSchema);
    const { conversation } = await liveOf(context, request, 'Conversation not found');
    const runtime = await conversations.runtime();
    return { response: await runtime.askAgent(conversation, question, AbortSignal.timeout(MODEL_MS)) };
  });
  app.post(`${BASE}/condense`, async (request) => {
    const { conversation } = await liveOf(context, request, 'Conversation not found');
    try {
      await (await conversations.runtime()).condense(conversation, AbortSignal.timeout(MODEL_MS));
    } catch (error) {
      if (error instanceof NoCondenserError) throw new HttpError(409, error.message, { cause: error });
      throw error;
    }
    return SUCCESS;
  });
  app.post(`${BASE}/fork`, async (request, reply) => {
    conversationId(request);
    const body = bodyOf(request, forkSchema, { optional: true });
    const live = await liveOf(context, request, 'Source conversation not found');
    return reply.code(201).send(conversations.info(await conversations.fork(live, body), { runtime: false }));
  });
  app.post(`${BASE}/navigate`, async (request) => {
    conversationId(request);
    const body = bodyOf(request, navigateSchema, { optional: true });
    const { conversation, runner } = await liveOf(context, request, 'Conversation not found');
    const target = body.event_id ?? null;
    if (target !== null && conversation.events.index.find(target) === undefined)
      throw notFound(`Unknown event_id: ${target}`);
    if (runner.running) throw new HttpError(409, 'Conversation is running. Wait for completion or pause first.');
    await conversation.update((record) => {
      record.leafId = target;
      record.navigatedToRoot = target === null;
    });
    return conversations.info(conversation.record, { runtime: false });
  });
}
