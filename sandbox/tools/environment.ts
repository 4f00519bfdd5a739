/** Environment and paths of the processes that tools start. */

/** Programs run in a terminal that nobody scrolls: no pagers. */
const TERMINAL_HABITS = {
  TERM: 'xterm-256color',
  PAGER: 'cat',
  GIT_PAGER: 'cat',
  MANPAGER: 'cat',
  SYSTEMD_PAGER: 'cat',
};

/** @param base the conversation's variables, without anything of the server's own */
export function terminalEnvironment(base: Record<string, string>): Record<string, string> {
  return {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    LANG: 'C.UTF-8',
    ...base,
    ...TERMINAL_HABITS,
  };
}

const CLIENT_ROOT = '/workspace';

/**
 * Clients and models say `/workspace/…`; on a machine where pods are processes the folder lies elsewhere
 * (`SANDLOT_WORKSPACE_ROOT`). Identity in an image.
 */
export function mapWorkspacePath(
  path: string,
  root: string = process.env['SANDLOT_WORKSPACE_ROOT'] ?? CLIENT_ROOT,
): string {
  if (root === CLIENT_ROOT || !(path === CLIENT_ROOT || path.startsWith(`${CLIENT_ROOT}/`))) return path;
  return root + path.slice(CLIENT_ROOT.length);
}
