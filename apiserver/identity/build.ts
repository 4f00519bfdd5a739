/** Wires identity together: the way in that the settings choose. */
import type { Deps } from '../deps.js';
import { createCookieJar, createCookieKeys } from './cookies.js';
import { identifyByLogin, identifyLocal } from './identify.js';
import { createEndings } from './endings.js';
import { createKeyCheck } from './keys.js';
import { createProvider } from './provider.js';
import { identifySession } from './session.js';
import { createSessions } from './sessions.js';

type Parts = Pick<Deps, 'box' | 'clock' | 'config' | 'db' | 'log' | 'directory' | 'control'>;

export function buildIdentity({
  box,
  clock,
  config,
  db,
  log,
  directory,
  control,
}: Parts): Pick<Deps, 'identify' | 'login'> {
  const { prisma } = db;
  const keys = createKeyCheck({ prisma, clock });
  const { identity } = config;
  if (identity.mode === 'single-user') return { identify: identifyLocal(keys) };
  const { publicUrl, oidc, session: times } = identity;
  const provider = createProvider(oidc, { publicUrl, now: () => clock.now() });
  const endings = createEndings({ prisma, directory, control, clock, log, idleMs: times.idleMs });
  const login = {
    endings,
    publicUrl,
    provider,
    cookies: createCookieKeys(config.secrets),
    jar: createCookieJar(publicUrl),
    sessions: createSessions({ prisma, box, clock, log, provider, oidc, times, ended: endings.soon }),
    seconds: Math.floor(times.maxMs / 1000),
  };
  return { identify: identifyByLogin(keys, prisma, identifySession(login)), login };
}
