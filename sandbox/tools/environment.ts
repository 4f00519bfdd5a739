/** Environment and paths of the processes that tools start. */

/** Programs run in a terminal that nobody scrolls: no pagers. */
const TERMINAL_HABITS = {
  TERM: 'xterm-256color',
  PAGER: 'cat',
  GIT_PAGER: 'cat',
  MANPAGER: 'cat',
  SYSTEMD_PAGER: 'cat',
};

/** Addresses and settings of the server itself: an app that took them over would collide with it. */
const SERVER_OWN = ['PORT', 'HOST', 'KUBECONFIG', 'LOG_LEVEL', 'LOG_JSON', 'NODE_OPTIONS'];

/**
 * Apps that obey `PORT` come up where the user can see them: on the first port for apps, if the pod has one.
 * @param base the conversation's variables, without the server's keys
 */
export function terminalEnvironment(base: Record<string, string>): Record<string, string> {
  const kept = Object.fromEntries(Object.entries(base).filter(([name]) => !SERVER_OWN.includes(name)));
  const port: Record<string, string> = base['WORKER_1'] ? { PORT: base['WORKER_1'] } : {};
  return {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    LANG: 'C.UTF-8',
    ...kept,
    ...port,
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
