/** The gateway under load: the real request path with metrics and access log, its table filled by hand. Prints its port. */
import { Registry } from 'prom-client';
import { buildGateway, newPool } from '../../gateway/build.js';
import { createAccessLog } from '../../gateway/accesslog.js';
import { createObserver } from '../../gateway/observe.js';
import { listenGateway } from '../../gateway/server.js';
import { createTable } from '../../gateway/table.js';
import { addPod, DOMAIN, SECRET, UI } from '../../gateway/testing/harness.js';

const [slot = '', backend = '', log = '/dev/null'] = process.argv.slice(2);
const pool = newPool();
const table = createTable(SECRET, { moved: pool.forget });
addPod({ table }, slot, { agent: Number(backend) });
const observer = createObserver(new Registry(), createAccessLog(log), {
  connections: () => 0,
  streams: () => 0,
  routes: () => 1,
  pool: () => pool.size(),
});
const settings = { secret: SECRET, domain: DOMAIN, protocol: 'http', uiOrigins: [UI], trustForwarded: false };
const gateway = buildGateway(
  { ...settings, maxRequests: 512, maxStreams: 15_000, maxUserRequests: 2048, maxUserStreams: 15_000 },
  { table, observer, pool, isSynced: () => true, waker: { wake: () => undefined } },
);
const listening = await listenGateway(gateway, { host: '127.0.0.1', port: 0, maxConnections: 30_000 });
process.send?.({ port: listening.port });
process.once('disconnect', () => process.exit(0));
