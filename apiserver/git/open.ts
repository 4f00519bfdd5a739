/** A provider by its name, with the user's token. */
import type { Dispatcher } from 'undici';
import { ApiError } from '../http/errors.js';
import { azureDevops } from './azure.js';
import { bitbucket } from './bitbucket.js';
import { bitbucketDataCenter } from './bitbucket-dc.js';
import { forgejo } from './forgejo.js';
import { github } from './github.js';
import { gitlab } from './gitlab.js';
import type { Access, GitProvider } from './types.js';

/** `host`: where the user named none. */
const PROVIDERS: Record<string, { host?: string; open: (access: Access) => GitProvider }> = {
  github: { host: 'github.com', open: github },
  gitlab: { host: 'gitlab.com', open: gitlab },
  bitbucket: { host: 'bitbucket.org', open: bitbucket },
  bitbucket_data_center: { open: bitbucketDataCenter },
  forgejo: { host: 'codeberg.org', open: forgejo },
  azure_devops: { open: azureDevops },
};

/** One that is not known, or of which only the token is, answers every question with 501. */
export function openProvider(
  name: string,
  { token, host }: { token: string; host: string | null },
  dispatcher: Dispatcher,
): GitProvider {
  const known = PROVIDERS[name];
  const at = host ?? known?.host;
  if (known !== undefined && at !== undefined) return known.open({ token, host: at, dispatcher });
  const refuse = () => Promise.reject(new ApiError('provider_unknown'));
  return {
    account: refuse,
    repositories: refuse,
    branches: refuse,
    tasks: () => Promise.resolve([]),
    installations: refuse,
    openPullRequest: refuse,
  };
}
