/** Answers of the Runtime API and of probes. */
import { z } from 'zod';
import { doc, int, maybe, names, text } from './shapes.js';

const runtime = z.object({
  runtime_id: text,
  id: text,
  session_id: text,
  url: text,
  session_api_key: text,
  status: text,
  status_detail: maybe,
  pod_status: text,
  work_hosts: z.record(z.string(), int),
  restart_count: int,
  restart_reasons: names,
});

export const runtimeAnswers: Record<string, z.ZodType> = {
  'POST /start': runtime,
  'POST /stop': runtime,
  'POST /pause': runtime,
  'POST /resume': runtime,
  'GET /list': z.object({ runtimes: z.array(runtime) }),
  'GET /runtime/:id': runtime,
  'GET /sessions/:id': runtime,
  'GET /sessions/batch': z.array(runtime),
  'GET /image_exists': z.object({ exists: z.boolean() }),
  'GET /api/warm-runtime-configs': z.object({ configs: z.array(doc) }),
  'GET /registry_prefix': z.object({ registry_prefix: text }),
  'GET /alive': z.object({ status: z.literal('ok') }),
  'GET /health': z.literal('OK'),
  'GET /ready': z.literal('OK'),
  'GET /api/identity': z.object({ mode: text, login_url: maybe, user: doc.nullable() }),
};
