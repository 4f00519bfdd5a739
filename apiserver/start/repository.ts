/** The shell commands that prepare a workspace. Pure. */
import { quote } from '../agent/bash.js';
import { azurePlace, webUrl as azureUrl } from '../git/azure.js';
import { originOf } from '../git/hosts.js';

/** Where shell commands of the preparation start. They name everything below it relatively: a process pod has its workspace elsewhere. */
export const WORKSPACE = '/workspace';
export const PROJECT_ROOT = `${WORKSPACE}/project`;

/**
 * Where the conversation's agent works. OpenHands' frontend looks for changes just there: with the user's strategy
 * NO_GROUPING below PROJECT_ROOT itself, else in the conversation's own folder there (`ownFolder`), so that two
 * conversations of one sandbox never share a folder.
 */
export function workingDirOf(where: { conversationId: string; repository: string | null; ownFolder: boolean }): string {
  const base = where.ownFolder ? `${PROJECT_ROOT}/${where.conversationId}` : PROJECT_ROOT;
  return where.repository === null ? base : `${base}/${where.repository.split('/').at(-1)}`;
}

export interface Workspace {
  /** Below WORKSPACE. */
  dir: string;
  /** Full URL, without credentials; null: an empty repository. */
  cloneUrl: string | null;
  /** Who logs in where the repository is not public, and the file (below WORKSPACE) that holds the password. */
  login: { user: string; passwordFile: string } | null;
  branch: string | null;
  fullClone: boolean;
  userName: string | null;
  userEmail: string | null;
}

/** Makes the folder and its repository; to be run in WORKSPACE. Safe to repeat: an existing clone is kept. */
export function prepareCommand(workspace: Workspace): string {
  const { cloneUrl, branch } = workspace;
  const dir = workspace.dir.slice(WORKSPACE.length + 1);
  const lines = [`set -e`, ...readPassword(workspace.login), `mkdir -p ${quote(dir)}`, `cd ${quote(dir)}`];
  if (cloneUrl === null) {
    lines.push(`[ -e .git ] || git init -q`);
  } else {
    const depth = workspace.fullClone ? '' : '--depth 1 ';
    const at = branch === null ? '' : `--branch ${quote(branch)} `;
    // Half a clone of an interrupted attempt is thrown away.
    lines.push(
      `export GIT_TERMINAL_PROMPT=0`,
      `[ -e .git/sandlot-cloned ] || { find . -mindepth 1 -delete; ${gitAs(workspace.login)} clone -q ${depth}${at}${quote(cloneUrl)} .; touch .git/sandlot-cloned; }`,
    );
  }
  if (workspace.userName !== null) lines.push(`git config user.name ${quote(workspace.userName)}`);
  if (workspace.userEmail !== null) lines.push(`git config user.email ${quote(workspace.userEmail)}`);
  lines.push(
    `if [ -f .openhands/setup.sh ]; then echo SANDLOT_HAS_SETUP; fi`,
    `if [ -f .openhands/pre-commit.sh ]; then echo SANDLOT_HAS_HOOK; fi`,
  );
  return lines.join('\n');
}

type Login = Workspace['login'];

/** The password comes by a file: what a command says is kept in the sandbox's log, and its arguments are seen by others. */
function readPassword(login: Login): string[] {
  if (login === null) return [];
  const file = quote(login.passwordFile);
  return [`SANDLOT_GIT_PASSWORD=$(cat ${file})`, `rm -f ${file}`];
}

/** git that logs in for this one command; nothing of it is written to the clone's configuration. */
function gitAs(login: Login): string {
  if (login === null) return 'git';
  const helper = `!f() { [ "$1" = get ] && echo username=${quote(login.user)} && echo "password=$SANDLOT_GIT_PASSWORD"; }; f`;
  return `SANDLOT_GIT_PASSWORD="$SANDLOT_GIT_PASSWORD" git -c credential.helper= -c credential.helper=${quote(helper)}`;
}

/** A user's token as git's login. Bitbucket's may be `user:app password`; the others take any name. */
export function loginOf(provider: string, token: string): { user: string; password: string } {
  const colon = token.indexOf(':');
  if (provider.startsWith('bitbucket'))
    return colon > 0
      ? { user: token.slice(0, colon), password: token.slice(colon + 1) }
      : { user: 'x-token-auth', password: token };
  return { user: 'oauth2', password: token };
}

/** What the preparation found in the repository. */
export function foundIn(output: string): { setup: boolean; hook: boolean } {
  return { setup: output.includes('SANDLOT_HAS_SETUP'), hook: output.includes('SANDLOT_HAS_HOOK') };
}

/** Runs the repository's own setup once, however often the start is resumed. */
export const SETUP_COMMAND = `[ -e .git/sandlot-set-up ] || { chmod +x .openhands/setup.sh && . ./.openhands/setup.sh && touch .git/sandlot-set-up; }`;
export const HOOK_COMMAND = `mkdir -p .git/hooks && cp .openhands/pre-commit.sh .git/hooks/pre-commit && chmod +x .git/hooks/pre-commit`;

const HOSTS: Record<string, string> = {
  github: 'github.com',
  gitlab: 'gitlab.com',
  bitbucket: 'bitbucket.org',
  forgejo: 'codeberg.org',
  azure_devops: 'dev.azure.com',
};

/**
 * `https://github.com/owner/name.git`, and what other providers have in its place; another host where the user named one.
 * undefined: such a provider has no host of its own, and the user named none.
 */
export function cloneUrlOf(repository: string, provider: string | null, host: string | null): string | undefined {
  const kind = provider ?? 'github';
  const at = host ?? HOSTS[kind];
  if (at === undefined) return undefined;
  if (kind === 'azure_devops') return azureUrl(azurePlace(at)[0], repository);
  return `${originOf(at)}${kind === 'bitbucket_data_center' ? '/scm' : ''}/${repository}.git`;
}
