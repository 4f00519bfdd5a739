import { startApi } from './api.js';
import { createLog } from '../../process/log.js';
import { writeFileSync } from 'node:fs';
const t0 = performance.now();
const api = await startApi({
  dataDir: process.argv[2]!,
  host: '127.0.0.1',
  port: 18443,
  token: 'tok-0123456789',
  log: createLog({ name: 'api' }),
});
console.log('started', Math.round(performance.now() - t0), 'ms', api.url);
writeFileSync('/tmp/la.kubeconfig', api.kubeconfig());
process.on('SIGTERM', () => void api.close().then(() => process.exit(0)));
