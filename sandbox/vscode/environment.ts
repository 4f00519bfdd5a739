/** What VS Code takes from the environment beside the server's configuration. */
import { homedir, userInfo } from 'node:os';
import { join } from 'node:path';

export interface VscodeEnvironment {
  /** Where images of OpenHands have their VS Code server. */
  openvscodeRoot: string;
  path: string;
  /** The user's own home: a pod that is a process of a machine has another HOME. */
  home: string;
}

export function environment(): VscodeEnvironment {
  return {
    openvscodeRoot: process.env['OPENVSCODE_SERVER_ROOT'] ?? '/openhands/.openvscode-server',
    path: process.env['PATH'] ?? '',
    home: userHome(),
  };
}

/** Where things are kept that every sandbox of this machine and user shares. */
export const cacheFolder = ({ XDG_CACHE_HOME: cache }: NodeJS.ProcessEnv): string =>
  join(cache || join(userHome(), '.cache'), 'sandlot');

/** From the password file; a user without an entry there (a random id in a container) has only HOME. */
function userHome(): string {
  try {
    return userInfo().homedir;
  } catch {
    return homedir();
  }
}
