import type { FastifyInstance } from 'fastify';
import { Histogram, type Registry } from 'prom-client';

const NAME = 'sandlot_api_request_seconds';

/** Counts by route pattern (never by path: ids would make it grow without end), all ports together. */
export function countRequests(app: FastifyInstance, registry: Registry): void {
  const seconds = (registry.getSingleMetric(NAME) as Histogram | undefined) ?? newHistogram(registry);
  app.addHook('onResponse', (request, reply, done) => {
    seconds
      .labels(request.method, request.routeOptions.url ?? 'static', String(reply.statusCode))
      .observe(reply.elapsedTime / 1000);
    done();
  });
}

function newHistogram(registry: Registry): Histogram {
  return new Histogram({
    name: NAME,
    help: 'Duration of API requests.',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [registry],
  });
}
