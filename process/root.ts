/** Where the package lies, so that data files are found from source, from dist/ and from an image alike. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

let root: string | undefined;

/** The folder that holds package.json and crds/: the nearest one above this file. */
export function packageRoot(): string {
  if (root !== undefined) return root;
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!(existsSync(join(folder, 'package.json')) && existsSync(join(folder, 'crds')))) {
    const parent = dirname(folder);
    if (parent === folder)
      throw new Error('Sandlot is not installed completely: no package.json beside crds/ above this file');
    folder = parent;
  }
  return (root = folder);
}

/** The package's version, as `--version`, image tags and /server_info say it. */
export function version(): string {
  const manifest = JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')) as { version: string };
  return manifest.version;
}
