/** Which VS Code server this machine has, and how it is called. */
import { access, readFile } from 'node:fs/promises';
import { constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { environment } from './environment.js';
import type { ServerConfig } from '../config.js';

export interface VscodeBinary {
  path: string;
  version: string | null;
  args(options: { config: ServerConfig; token: string; data: string }): string[];
  env(token: string): Record<string, string>;
}

/** Where `npm install code-server` puts it below the cache folder. */
export const installedEntry = (home: string): string =>
  join(home, 'node_modules', 'code-server', 'out', 'node', 'entry.js');
/** Written last by an installation: without it the folder is half-made. */
export const installedMark = (home: string): string => join(home, 'installed');

/** An openvscode-server of the image, a code-server in the path, or the one that was installed for this user. */
export async function findBinary(home: string): Promise<VscodeBinary | undefined> {
  const { openvscodeRoot, path } = environment();
  const open = join(openvscodeRoot, 'bin', 'openvscode-server');
  if (await runs(open)) return openvscode(open);
  for (const folder of path.split(delimiter))
    if (folder !== '' && (await runs(join(folder, 'code-server')))) return codeServer([join(folder, 'code-server')]);
  if ((await exists(installedMark(home))) && (await exists(installedEntry(home))))
    return codeServer([process.execPath, installedEntry(home)], await versionOf(home));
  return undefined;
}

const openvscode = (path: string): VscodeBinary => ({
  path,
  version: null,
  args: ({ config, token, data }) => [
    '--host',
    config.host,
    '--port',
    String(config.vscode.port),
    '--connection-token',
    token,
    '--disable-workspace-trust',
    '--server-data-dir',
    data,
    ...(config.vscode.basePath === null ? [] : ['--server-base-path', config.vscode.basePath]),
  ],
  env: () => ({}),
});

/**
 * code-server asks for a password on its own login page instead of a token in the address. The gateway has let in
 * whoever comes this far, and the pod's network policy lets nobody else in; alone on a machine it is bound to loopback.
 */
const codeServer = (command: string[], version: string | null = null): VscodeBinary => ({
  path: command[0] ?? 'code-server',
  version,
  args: ({ config, data }) => [
    ...command.slice(1),
    '--bind-addr',
    `${config.host}:${config.vscode.port}`,
    '--auth',
    'none',
    '--disable-telemetry',
    '--disable-update-check',
    '--disable-workspace-trust',
    '--disable-getting-started-override',
    '--user-data-dir',
    data,
    '--extensions-dir',
    join(data, 'extensions'),
    ...(config.vscode.basePath === null ? [] : ['--abs-proxy-base-path', config.vscode.basePath]),
    ...config.corsOrigins
      .filter((origin) => URL.canParse(origin))
      .flatMap((origin) => ['--trusted-origins', new URL(origin).host]),
  ],
  env: () => ({}),
});

async function versionOf(home: string): Promise<string | null> {
  const manifest = join(home, 'node_modules', 'code-server', 'package.json');
  const { version } = JSON.parse(await readFile(manifest, 'utf8')) as { version?: string };
  return version ?? null;
}

const runs = (path: string) => access(path, constants.X_OK).then(() => true, () => false); // prettier-ignore
const exists = (path: string) => access(path).then(() => true, () => false); // prettier-ignore
