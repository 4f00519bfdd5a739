/** The named ports of a sandbox pod. Numbers are defaults: everything resolves a port by its name. */
export const PORTS = { agent: 8000, vscode: 8001, 'worker-1': 8011, 'worker-2': 8012 } as const;
export type PortName = keyof typeof PORTS;
export const PORT_NAMES = Object.keys(PORTS) as PortName[];
