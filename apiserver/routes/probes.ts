import { cpus } from 'node:os';
import type { Deps } from '../deps.js';
import type { Api } from '../http/schema.js';

/** The probes of the recorded server, on the API's own port. Kubernetes should use the health port, which gives reasons. */
export function probeRoutes(app: Api, deps: Deps): void {
  const { clock, checks } = deps;
  const started = clock.now();
  let lastRequest = started;
  app.addHook('onRequest', (_request, _reply, done) => {
    lastRequest = clock.now();
    done();
  });
  app.get('/alive', () => ({ status: 'ok' }));
  app.get('/health', (_request, reply) => reply.type('application/json').send('"OK"'));
  // Bodies as recorded; which part is away stands in a header.
  app.get('/ready', (_request, reply) => {
    const away = Object.keys(checks.failing());
    void reply.type('application/json');
    return away.length === 0
      ? reply.send('"OK"')
      : reply.status(503).header('x-sandlot-not-ready', away.join(', ')).send('"NOT READY"');
  });
  app.get('/server_info', () => {
    const { rss } = process.memoryUsage();
    const { user, system } = process.cpuUsage();
    const uptime = (clock.now() - started) / 1000;
    return {
      uptime,
      idle_time: (clock.now() - lastRequest) / 1000,
      resources: {
        cpu_percent: Math.round(((user + system) / 1e4 / Math.max(uptime, 1) / cpus().length) * 10) / 10,
        memory: { rss },
      },
    };
  });
}
