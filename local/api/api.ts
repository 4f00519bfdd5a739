/** The API server of the one-machine cluster: what it serves and where it differs from a real one is told in README.md. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { Clock } from '../../kube/types.js';
import { systemClock } from '../../process/clock.js';
import type { Logger } from '../../process/log.js';
import { createAccess } from './access.js';
import { createCertificate, type Certificate } from './certificate.js';
import type { Context } from './context.js';
import { openDisk } from './disk.js';
import { createKeepers } from './keepers.js';
import { createPages } from './listing.js';
import { listen } from './listener.js';
import { createOpenApi } from './openapi.js';
import { createPodGate } from './podGate.js';
import type { PodHandlers } from './podHandlers.js';
import { createPortBook, PORT_RANGE, type PortRange } from './ports.js';
import { createRegistry } from './resources.js';
import { answer, type Parts } from './router.js';
import { createStore } from './store.js';
import { createWatches } from './watching.js';
import { USER } from './reviews.js';

export { DataFolderError } from './disk.js';
export { ApiError } from './errors.js';
export type { PodHandlers, PodRequest, PodStreamRequest } from './podHandlers.js';

export interface ApiOptions {
  /** Folder for everything that is kept; made when missing. */
  dataDir: string;
  /** A loopback address. */
  host: string;
  /** 0 takes a free one. */
  port: number;
  /** The bearer token of the one user. */
  token: string;
  log: Logger;
  clock?: Clock;
  /** Numbers handed out to ports of pods. */
  ports?: PortRange;
  /** Whether each pod gets its own loopback address; by default where the system has them all (Linux). */
  ownAddress?: boolean;
  /** Changes kept for watches to resume from. */
  historySize?: number;
}

export interface LocalApi {
  /** `http://host:port`; the same port speaks TLS as well. */
  url: string;
  /** A kubeconfig (YAML) with the address in its https form, its certificate and the token. */
  kubeconfig(): string;
  setPodHandlers(handlers: PodHandlers): void;
  close(): Promise<void>;
}

const LOOPBACK = /^(127(\.\d{1,3}){3}|::1|localhost)$/;

/** Opens the data folder and serves. Throws DataFolderError, or the error of a taken port. */
export async function startApi(options: ApiOptions): Promise<LocalApi> {
  const { dataDir, host, log } = options;
  if (!LOOPBACK.test(host)) throw new Error(`the one-machine cluster serves loopback addresses only, not ${host}`);
  const clock = options.clock ?? systemClock;
  const loaded = await openDisk(join(dataDir, 'objects'));
  const store = createStore(loaded, options.historySize);
  const ports = createPortBook({
    range: options.ports ?? PORT_RANGE,
    ownAddress: options.ownAddress ?? process.platform === 'linux',
    pods: () => store.list('core/pods'),
  });
  const context: Context = { store, registry: createRegistry(), clock, log, ports };
  const access = createAccess(options.token);
  const keepers = createKeepers(context);
  const watches = createWatches(context);
  const pods = createPodGate(context, access);
  keepers.start();
  const parts: Parts = {
    context,
    access,
    watches,
    pods,
    openapi: createOpenApi(context.registry),
    pages: createPages(),
    faults: () => {
      const failure = store.failure();
      return failure === undefined ? [] : [failure.message];
    },
  };
  const certificate = keptCertificate(dataDir, host, clock.now());
  try {
    const listener = await listen({
      host,
      port: options.port,
      certificate,
      handlers: { request: (request, response) => void answer(parts, request, response), upgrade: pods.upgrade },
    });
    const close = async (): Promise<void> => {
      watches.close();
      pods.close();
      keepers.close();
      await listener.close();
      await store.close();
    };
    const address = `${host.includes(':') ? `[${host}]` : host}:${listener.port}`;
    return {
      url: `http://${address}`,
      kubeconfig: () => kubeconfigOf(`https://${address}`, certificate, options.token),
      setPodHandlers: pods.setHandlers,
      close,
    };
  } catch (error) {
    keepers.close();
    await store.close();
    throw error;
  }
}

/** The certificate is kept, so that a kubeconfig stays valid over restarts. */
function keptCertificate(dataDir: string, host: string, now: number): Certificate {
  const path = join(dataDir, `tls-${host.replace(/[^\w.]/g, '_')}.json`);
  if (existsSync(path)) {
    try {
      return JSON.parse(readFileSync(path, 'utf8')) as Certificate;
    } catch {
      // Half-written: a new one is as good.
    }
  }
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const made = createCertificate(host, now);
  writeFileSync(path, JSON.stringify(made), { mode: 0o600 });
  return made;
}

function kubeconfigOf(server: string, certificate: Certificate, token: string): string {
  const name = 'sandlot';
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      { name, cluster: { server, 'certificate-authority-data': Buffer.from(certificate.cert).toString('base64') } },
    ],
    users: [{ name: USER, user: { token } }],
    contexts: [{ name, context: { cluster: name, user: USER, namespace: 'default' } }],
    'current-context': name,
  });
}
