/** An API server without a port, on a real database and a Kubernetes API, with a hand that plays the operator. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { Registry } from 'prom-client';
import { buildApiServer, type ApiServer, type Outside } from '../../apiserver/build.js';
import { openDatabase, type Database } from '../../apiserver/db/open.js';
import { sessionKey } from '../../contracts/keys.js';
import { slotOfSandbox } from '../../contracts/names.js';
import { SANDBOX, type Sandbox, type SandboxStatus } from '../../contracts/resources.js';
import type { KubeClient } from '../../kube/client.js';
import { systemClock } from '../../process/clock.js';
import type { IdentitySettings, OidcSettings } from '../../apiserver/identity/settings.js';
import { createLog } from '../../process/log.js';
import type { Cluster } from './cluster.js';

export const SECRET = 'a secret of the installation, long enough';

export interface Reply<T = unknown> {
  status: number;
  body: T;
  text: string;
  headers: Record<string, unknown>;
}

export interface Rig {
  server: ApiServer;
  db: Database;
  call<T = Record<string, unknown>>(
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<Reply<T>>;
  stop(): Promise<void>;
}

/** A database of its own on the server that SANDLOT_TEST_DATABASE_URL names, else an embedded one in a folder of its own. */
export async function openTestDatabase(): Promise<Database> {
  const given = process.env.SANDLOT_TEST_DATABASE_URL ?? '';
  if (given !== '') return await openOwnDatabase(given);
  const folder = mkdtempSync(join(tmpdir(), 'sandlot-rig-'));
  const db = await openDatabase({ url: `pglite:${folder}`, log: quiet() });
  const close = async () => {
    await db.close();
    rmSync(folder, { recursive: true, force: true });
  };
  return { ...db, close };
}

/** Suites run side by side and would see each other's users and tasks: each has a database of its own on the server. */
async function openOwnDatabase(server: string): Promise<Database> {
  const name = `test_${randomBytes(6).toString('hex')}`;
  await query(server, `CREATE DATABASE ${name}`);
  const url = new URL(server);
  url.pathname = `/${name}`;
  const db = await openDatabase({ url: url.href, log: quiet() });
  const close = async () => {
    await db.close();
    await query(server, `DROP DATABASE ${name} WITH (FORCE)`);
  };
  return { ...db, close };
}

async function query(server: string, text: string): Promise<void> {
  const client = new pg.Client({ connectionString: server });
  await client.connect();
  await client.query(text).finally(() => client.end());
}

export const quiet = () => createLog({ name: 'test', level: process.env.TEST_LOG ?? 'fatal' });

type Change = Partial<Omit<Outside, 'config'>> & { config?: Partial<Outside['config']> };

const HOUR_MS = 3_600_000;

/** Identity with a login whose provider is not there: for suites in which sessions and keys are made by hand. */
export const loginBy = (oidc: Partial<OidcSettings> = {}): IdentitySettings => ({
  mode: 'oidc',
  publicUrl: 'http://localhost:3000',
  oidc: {
    issuer: 'http://127.0.0.1:9/realms/none',
    clientId: 'sandlot',
    clientSecret: 'secret',
    scopes: 'openid',
    groupsClaims: ['groups'],
    allowedGroups: [],
    allowedEmails: [],
    adminGroups: [],
    ...oidc,
  },
  session: { idleMs: HOUR_MS, maxMs: HOUR_MS },
});

export async function startRig(cluster: Cluster, db: Database, change: Change = {}): Promise<Rig> {
  const { config, ...rest } = change;
  const server = await buildApiServer({
    config: {
      secrets: [SECRET],
      dataKeys: [SECRET],
      identity: { mode: 'single-user', publicUrl: undefined },
      uiOrigins: [],
      gateway: { form: 'host', protocol: 'http', domain: 'sandbox.localhost:3001' },
      template: undefined,
      startTimeoutMs: 30_000,
      limits: { perOwner: 0, ofOwners: new Map(), overOwnerLimit: 'Refuse' },
      runtimeClasses: {},
      runtimeRegistry: undefined,
      namespace: cluster.namespace,
      ...config,
    },
    db,
    client: cluster.client,
    clock: systemClock,
    log: quiet(),
    registry: new Registry(),
    ...rest,
  });
  await server.deps.directory.synced;
  await server.start();
  return {
    server,
    db,
    async call(method, path, body, headers = {}) {
      const response = await server.app.inject({
        method: method as 'GET',
        url: path,
        headers: {
          host: 'localhost:3000',
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { payload: JSON.stringify(body) }),
      });
      let parsed: unknown = response.payload;
      try {
        parsed = JSON.parse(response.payload);
      } catch {
        // Not JSON: the text is the body.
      }
      return { status: response.statusCode, body: parsed as never, text: response.payload, headers: response.headers };
    },
    async stop() {
      await server.stop();
      await server.app.close();
    },
  };
}

export interface OperatorHand {
  /**
   * Writes the status that the operator writes when the agent answers; answers the session key. A stand-in has its key
   * before that, as a pod has: who watches the status may ask it before the write is answered.
   */
  ready(name: string, agent: { port: number; key?: string }, epoch?: number): Promise<string>;
  status(name: string, status: SandboxStatus): Promise<void>;
  get(name: string): Promise<Sandbox>;
}

export function operatorHand(client: KubeClient, namespace: string): OperatorHand {
  const ref = (name: string) => ({ namespace, name });
  const hand: OperatorHand = {
    get: (name) => client.get<Sandbox>(SANDBOX, ref(name)),
    async status(name, status) {
      await client.patch(SANDBOX, ref(name), { status }, { type: 'merge', subresource: 'status' });
    },
    async ready(name, agent, epoch = 1) {
      const { metadata } = await hand.get(name);
      const slot = slotOfSandbox(metadata.uid ?? '');
      const key = sessionKey(SECRET, slot, epoch);
      if (agent.key !== undefined) agent.key = key;
      const at = new Date().toISOString().replace(/\.\d+Z/, 'Z');
      const holds = {
        status: 'True' as const,
        reason: 'Ready',
        message: 'The agent server answers',
        lastTransitionTime: at,
      };
      await hand.status(name, {
        observedGeneration: metadata.generation ?? 0,
        phase: 'Running',
        slot,
        keyEpoch: epoch,
        podIP: '127.0.0.1',
        ports: [{ name: 'agent', port: agent.port }],
        conditions: ['Ready', 'AgentReady'].map((type) => ({ type, ...holds })),
      });
      return key;
    },
  };
  return hand;
}

export const newId = (): string => randomBytes(16).toString('hex');
