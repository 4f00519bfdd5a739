import { cpus } from 'node:os';
import type { Deps } from '../deps.js';
import type { Api } from '../http/schema.js';

/** The probes of the recorded server, on the API's own port. Kubernetes should use the health port, which gives reasons. */
export function probeRoutes(app: Api, deps: Deps): void {
  const { clock, db, directory } = deps;
  const started = clock.now();
  let lastRequest = started;
  app.addHook('onRequest', (_request, _reply, done) => {
    lastRequest = clock.now();
    done();
  });
  app.get('/alive', () => ({ status: 'ok' }));
  app.get('/health', (_request, reply) => reply.type('application/json').send('"OK"'));
  app.get('/ready', async (_request, reply) => {
    const database = await db.prisma.$queryRawUnsafe('SELECT 1').then(
      () => true,
      () => false,
    );
    const ready = database && directory.hasSynced();
    return reply
      .status(ready ? 200 : 503)
      .type('application/json')
      .send(ready ? '"OK"' : '"NOT READY"');
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
