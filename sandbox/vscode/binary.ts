/** Which VS Code server this machine has, and how it is called. It listens on a socket file; the front lets people in. */
import { access } from 'node:fs/promises';
import { constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { environment } from './environment.js';

export interface VscodeBinary {
  command: string[];
  args(options: { socket: string; data: string }): string[];
}

export const VERSION = '4.100.3';

/** Where an installation is, below the cache folder. Renamed into place when it is whole. */
export const installedFolder = (cache: string): string => join(cache, `code-server-${VERSION}`);
export const entryOf = (folder: string): string => join(folder, 'node_modules/code-server/out/node/entry.js');

/** An openvscode-server of the image, a code-server in the path, or the one that was installed for this user. */
export async function findBinary(cache: string): Promise<VscodeBinary | undefined> {
  const { openvscodeRoot, path } = environment();
  const open = join(openvscodeRoot, 'bin', 'openvscode-server');
  if (await can(open, constants.X_OK)) return { command: [open], args: openvscodeArgs };
  for (const folder of path.split(delimiter)) {
    const own = join(folder, 'code-server');
    if (folder !== '' && (await can(own, constants.X_OK))) return { command: [own], args: codeServerArgs };
  }
  const entry = entryOf(installedFolder(cache));
  if (await can(entry, constants.R_OK)) return { command: [process.execPath, entry], args: codeServerArgs };
  return undefined;
}

const openvscodeArgs: VscodeBinary['args'] = ({ socket, data }) => [
  '--socket-path',
  socket,
  '--without-connection-token',
  '--accept-server-license-terms',
  '--disable-workspace-trust',
  '--telemetry-level',
  'off',
  '--server-data-dir',
  data,
];

const codeServerArgs: VscodeBinary['args'] = ({ socket, data }) => [
  '--socket',
  socket,
  '--socket-mode',
  '600',
  '--session-socket',
  `${socket}.session`,
  '--auth',
  'none',
  '--config',
  join(data, 'config.yaml'),
  '--disable-telemetry',
  '--disable-update-check',
  '--disable-workspace-trust',
  '--disable-getting-started-override',
  '--user-data-dir',
  data,
  '--extensions-dir',
  join(data, 'extensions'),
];

const can = (path: string, mode: number) => access(path, mode).then(() => true, () => false); // prettier-ignore
