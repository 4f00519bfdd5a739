/** The smaller groups: tools, hooks, skills, models, VS Code, apps, the workspace cookie */
import { isAbsolute } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { Context } from '../context.js';
import { WORKSPACE_COOKIE } from '../http/auth.js';
import { optionalText } from '../http/query.js';
import { bodyOf, queryOf } from '../http/route.js';
import { readHooks } from '../services/hooks.js';
import { listApps } from '../services/apps.js';
import { MODELS, modelsOf, PROVIDERS } from '../services/models.js';
import { loadSkills } from '../services/skills.js';
import { agentInfo, findAgents } from '../services/sub-agents.js';
import { createTitles } from '../services/titles.js';
import { findChromium } from '../tools/browser/find.js';
import { toolCatalog, toolNames } from '../tools/catalog.js';

const TEN_YEARS = 315_360_000;
const hooksSchema = z.looseObject({ project_dir: z.string().nullish() });
const skillsSchema = z.looseObject({
  load_public: z.boolean().default(true),
  load_user: z.boolean().default(true),
  load_project: z.boolean().default(true),
  load_org: z.boolean().default(true),
  project_dir: z.string().nullish(),
});
const subAgentsSchema = z.looseObject({
  load_user: z.boolean().default(true),
  load_project: z.boolean().default(true),
  load_builtin: z.boolean().default(true),
  project_dir: z.string().nullish(),
});

export function miscRoutes(app: FastifyInstance, context: Context): void {
  app.get('/api/tools/', () => toolNames());
  app.get('/api/tools/catalog', () => ({ tools: toolCatalog() }));
  const titles = createTitles(() => context.clock.monotonic());
  app.get('/api/apps', async () => ({ apps: await listApps(context.config, titles) }));
  app.post('/api/hooks', async (request) => {
    const { project_dir: dir } = bodyOf(request, hooksSchema, { optional: true });
    return { hook_config: dir == null || !isAbsolute(dir) ? null : await readHooks(context.paths.toLocal(dir)) };
  });
  app.post('/api/skills', async (request) => {
    const body = bodyOf(request, skillsSchema, { optional: true });
    const dir = body.load_project && body.project_dir != null ? context.paths.toLocal(body.project_dir) : null;
    return loadSkills(dir);
  });
  app.post('/api/sub-agents', async (request) => {
    const body = bodyOf(request, subAgentsSchema);
    const dir = body.load_project && body.project_dir != null ? context.paths.toLocal(body.project_dir) : null;
    const home = body.load_user ? (context.config.commandEnv['HOME'] ?? null) : null;
    const browser = findChromium(context.config.commandEnv) !== undefined;
    const agents = await findAgents({ projectDir: dir, home, builtIn: body.load_builtin, browser });
    return { agents: agents.map(agentInfo) };
  });
  // Clients ask for this list before they show anything; none can be installed here.
  app.get('/api/canvas-extensions/installed', () => ({ canvas_extensions: [] }));
  app.get('/api/llm/models', (request) => ({ models: modelsOf(optionalText(queryOf(request), 'provider')) }));
  app.get('/api/llm/models/verified', () => ({ models: MODELS }));
  app.get('/api/llm/providers', () => ({ providers: PROVIDERS }));
  app.post('/api/auth/workspace-session', (_request, reply) => cookie(context, reply, false));
  app.delete('/api/auth/workspace-session', (_request, reply) => cookie(context, reply, true));
}

function cookie(context: Context, reply: import('fastify').FastifyReply, remove: boolean) {
  const key = context.config.sessionApiKeys[0];
  if (key !== undefined) {
    const value = remove ? '""' : encodeURIComponent(key);
    const age = remove ? 0 : TEN_YEARS;
    void reply.header(
      'set-cookie',
      `${WORKSPACE_COOKIE}=${value}; HttpOnly; Max-Age=${age}; Path=/api/conversations; SameSite=none; Secure; Partitioned`,
    );
  }
  return reply.code(204).send();
}

/** `prefix` is `/api` or a conversation's own mirror of it. */
export function vscodeRoutes(app: FastifyInstance, context: Context, prefix: string): void {
  const { vscode } = context;
  app.get(`${prefix}/vscode/status`, () => vscode.status());
  app.get(`${prefix}/vscode/url`, async (request) => {
    const query = queryOf(request);
    const folder = optionalText(query, 'workspace_dir') ?? '/workspace';
    return { url: await vscode.url({ baseUrl: optionalText(query, 'base_url'), folder }) };
  });
  app.get(`${prefix}/vscode/install`, () => vscode.progress());
  app.post(`${prefix}/vscode/install`, async (_request, reply) => reply.code(202).send(await vscode.install()));
}
