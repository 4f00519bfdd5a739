/** What VS Code takes from the environment beside the server's configuration. */
export function environment(): { openvscodeRoot: string; path: string } {
  return {
    openvscodeRoot: process.env['OPENVSCODE_SERVER_ROOT'] ?? '/openhands/.openvscode-server',
    path: process.env['PATH'] ?? '',
  };
}
