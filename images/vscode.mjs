// node images/vscode.mjs FOLDER   Installs the VS Code server of sandboxes into FOLDER, as a sandbox without one would itself.
import { rename, rm } from 'node:fs/promises';
import { install } from '../dist/sandbox/vscode/install.js';
import { installedFolder } from '../dist/sandbox/vscode/binary.js';

const folder = process.argv[2];
if (folder === undefined) throw new Error('usage: node images/vscode.mjs FOLDER');
const cache = `${folder}.cache`;
await install({ cache, env: process.env, signal: AbortSignal.timeout(600_000), onProgress: () => undefined });
await rename(installedFolder(cache), folder);
await rm(cache, { recursive: true, force: true });
