/** A provider by its name, with the user's token. */
import { ApiError } from '../http/errors.js';
import { bitbucket } from './bitbucket.js';
import { github } from './github.js';
import { gitlab } from './gitlab.js';
import type { Access, GitProvider } from './types.js';

const PROVIDERS: Record<string, { host: string; open: (access: Access) => GitProvider }> = {
  github: { host: 'github.com', open: github },
  gitlab: { host: 'gitlab.com', open: gitlab },
  bitbucket: { host: 'bitbucket.org', open: bitbucket },
};

/** One that is only cloned from answers every question with 501. */
export function openProvider(name: string, { token, host }: { token: string; host: string | null }): GitProvider {
  const known = PROVIDERS[name];
  if (known !== undefined) return known.open({ token, host: host ?? known.host });
  const refuse = () => Promise.reject(new ApiError('provider_unknown'));
  return {
    account: refuse,
    repositories: refuse,
    branches: refuse,
    tasks: () => Promise.resolve([]),
    installations: refuse,
  };
}
