/** The folder of one installation on this machine: is it ours, is it whole, is it free; and its secrets. */
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FolderInUseError, lockFolder } from '../../apiserver/db/lock.js';

/** The folder cannot be used; the message says why and what to do. */
export class FolderProblem extends Error {
  override readonly name = 'FolderProblem';
  /** Another process has it; that may pass. */
  readonly inUse: boolean;

  constructor(message: string, { inUse = false, cause }: { inUse?: boolean; cause?: unknown } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.inUse = inUse;
  }
}

export interface DataFolder {
  path: string;
  /** The installation's secret: all keys of sandboxes derive from it. */
  secret: string;
  /** Bearer token of the Kubernetes API. */
  kubeToken: string;
  unlock(): void;
}

const MANIFEST = 'sandlot.json';
const FORMAT = 1;
/** What a start that was cut short may leave before the manifest is there. */
const EARLY = /^(lock(\..*)?|sandlot\.json\.new)$/;

/** Takes the folder for this process; a new one is set up. @throws FolderProblem */
export function openDataFolder(path: string): DataFolder {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new FolderProblem(`cannot make the data folder ${path} (${codeOf(cause)}): choose another with --data`, {
      cause,
    });
  }
  const manifest = checkManifest(path);
  const unlock = lock(path);
  try {
    if (!manifest) {
      chmodSync(path, 0o700);
      writeWhole(join(path, MANIFEST), `${JSON.stringify({ format: FORMAT })}\n`);
    }
    return { path, secret: secretIn(path, 'secret'), kubeToken: secretIn(path, 'kube-token'), unlock };
  } catch (error) {
    unlock();
    throw error;
  }
}

/** Whether the folder is set up; a folder of something else, or of a later version, is refused. */
function checkManifest(path: string): boolean {
  const file = join(path, MANIFEST);
  if (!existsSync(file)) {
    const foreign = readdirSync(path).filter((name) => !EARLY.test(name));
    if (foreign.length === 0) return false;
    throw new FolderProblem(
      `${path} is no Sandlot data folder (it has ${foreign[0] ?? ''}, but no ${MANIFEST}): choose another with --data, or empty it`,
    );
  }
  const { format } = parsed(file) as { format?: unknown };
  if (format === FORMAT) return true;
  if (typeof format === 'number')
    throw new FolderProblem(
      `${path} was written by another version of Sandlot (format ${format}, this one has ${FORMAT})`,
    );
  throw new FolderProblem(`${file} is damaged: restore the folder, or start anew with another --data`);
}

function parsed(file: string): unknown {
  try {
    return (JSON.parse(readFileSync(file, 'utf8')) as unknown) ?? {};
  } catch {
    return {};
  }
}

function lock(path: string): () => void {
  try {
    return lockFolder(path);
  } catch (error) {
    if (!(error instanceof FolderInUseError)) throw error;
    throw new FolderProblem(
      `Sandlot already runs in ${path} (process ${error.pid}): stop that one first, or choose another folder with --data`,
      { inUse: true },
    );
  }
}

/** Made once, readable by this user only. */
function secretIn(path: string, name: string): string {
  const file = join(path, name);
  if (!existsSync(file)) writeWhole(file, `${randomBytes(32).toString('base64url')}\n`);
  const value = readFileSync(file, 'utf8').trim();
  if (/^[\w-]{32,}$/.test(value)) return value;
  throw new FolderProblem(
    `${file} is damaged (it must hold at least 32 letters and digits): restore it from a copy; without it running sandboxes and stored secrets are lost`,
  );
}

/** All or nothing, also when the machine stops in between. */
export function writeWhole(file: string, text: string): void {
  writeFileSync(`${file}.new`, text, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? 'error';
