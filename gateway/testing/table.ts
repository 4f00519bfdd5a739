/** A table of two sandboxes with ports of every kind, and the rules of a gateway, for tests of decisions. */
import { LABEL } from '../../contracts/labels.js';
import { buildGateway } from '../build.js';
import { createTable } from '../table.js';
import { DOMAIN, noWaker, sandboxOf, SECRET, sliceOf, slotNamed, UI } from './harness.js';

const A = slotNamed('a');
const B = slotNamed('b');
export const CONVERSATION = '0123456789abcdef0123456789abcdef';
export const PORTS = { agent: 8000, vscode: 8001, 'worker-1': 20_011, 'worker-2': 20_012 };

export function filledTable() {
  const moved: string[] = [];
  const table = createTable(SECRET, { moved: (slot) => void moved.push(slot) });
  const named = sandboxOf(A);
  named.metadata.labels = { [LABEL.conversation]: CONVERSATION };
  named.spec.ports = [
    { name: 'site', port: 3000, visibility: 'Public' },
    { name: 'worker-2', port: 20_012, visibility: 'Public' },
    { name: 'trick', port: 8000, visibility: 'Public' },
    { name: 'team', port: 4000, visibility: 'Shared' },
  ];
  table.upsertSandbox(named);
  table.upsertSlice(sliceOf(A, '10.0.0.1', PORTS));
  table.upsertSandbox(sandboxOf(B, { spec: { owner: 'bob' } }));
  table.upsertSlice(sliceOf(B, '10.0.0.2', PORTS));
  return { table, moved };
}

export function rulesOf(more: { maxRequests?: number } = {}) {
  return buildGateway(
    {
      secret: SECRET,
      domain: DOMAIN,
      protocol: 'http',
      uiOrigins: [UI],
      maxRequests: more.maxRequests ?? 9,
      maxStreams: 9,
      maxUserRequests: 99,
      maxUserStreams: 99,
      trustForwarded: false,
    },
    {
      table: filledTable().table,
      observer: { finished: () => undefined, dialFailed: () => undefined },
      isSynced: () => true,
      waker: noWaker,
    },
  ).rules;
}
