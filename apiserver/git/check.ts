/** Whether what a user stores for a git provider can be used. */
import type { Dispatcher } from 'undici';
import { ApiError } from '../http/errors.js';
import type { User } from '../identity/identity.js';
import { azurePlace } from './azure.js';
import { isLoopback } from './hosts.js';
import { openProvider } from './open.js';

/** The host as it is stored. Throws ApiError 400 that says what is wrong with it. */
export function checkedHost(user: Pick<User, 'via'>, provider: string, host: string | null): string | null {
  const [server = ''] = (host ?? '').split('/');
  if (isLoopback(server) && user.via !== 'local')
    throw new ApiError('bad_secret', { text: `${server} is this server itself; name the provider's host.` });
  if (provider === 'azure_devops' && azurePlace(host ?? 'dev.azure.com')[1] === '')
    throw new ApiError('bad_secret', { text: 'Name the organization as host: dev.azure.com/your-organization.' });
  if (provider === 'bitbucket_data_center' && host === null)
    throw new ApiError('bad_secret', { text: 'Name the host of your Bitbucket Data Center.' });
  if (provider !== 'azure_devops' && server !== (host ?? ''))
    throw new ApiError('bad_secret', { text: 'Name the host alone, without a path.' });
  return host;
}

/**
 * Asks the provider whose token it is. Throws ApiError `bad_secret` when it does not take it. Answers a note for the user
 * when that stays open: a provider that is away for a minute, or that only sandboxes reach, must not keep a token out, nor
 * may a token of few rights, which clones and pushes but does not say whose it is.
 */
export async function checkToken(
  provider: string,
  access: { token: string; host: string | null },
  dispatcher: Dispatcher,
): Promise<string | undefined> {
  try {
    await openProvider(provider, access, dispatcher).account();
    return undefined;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.code === 'provider_unknown') return undefined;
    if (error.code === 'provider_unauthenticated')
      throw new ApiError('bad_secret', { text: `Invalid token: ${error.message}`, cause: error });
    return `The token for ${provider} is not checked: ${error.message}`;
  }
}
