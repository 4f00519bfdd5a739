import { createHash } from 'node:crypto';
import { LABEL, MANAGER, SANDBOX_APP, SHARED_SERVICE, SHARED_SERVICES } from '../../contracts/labels.js';
import { PORTS } from '../../contracts/ports.js';
import type { Service } from '../../kube/kinds.js';

/** Which of the shared Services a slot falls to: a number as text, for a label. */
export const serviceNumber = (slot: string): string =>
  String(createHash('sha256').update(slot).digest().readUInt32BE() % SHARED_SERVICES);

export const serviceName = (slot: string): string => `${SHARED_SERVICE}-${serviceNumber(slot)}`;

/**
 * A headless Service: DNS names and EndpointSlices for the sandbox pods of a namespace that fall to it. Target ports are
 * named, because a pod may have its ports under other numbers.
 */
export function buildSharedService(namespace: string, slot: string): Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: serviceName(slot),
      namespace,
      labels: { [LABEL.name]: SANDBOX_APP, [LABEL.managedBy]: MANAGER },
    },
    spec: {
      clusterIP: 'None',
      selector: { [LABEL.name]: SANDBOX_APP, [LABEL.service]: serviceNumber(slot) },
      ports: Object.entries(PORTS).map(([name, port]) => ({ name, port, targetPort: name, protocol: 'TCP' as const })),
    },
  };
}
