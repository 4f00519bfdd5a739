import { LABEL, MANAGER, SANDBOX_APP, SHARED_SERVICE } from '../../contracts/labels.js';
import { PORTS } from '../../contracts/ports.js';
import type { Service } from '../../kube/kinds.js';

/**
 * The one headless Service of a namespace: DNS names and EndpointSlices for all sandbox pods. Target ports are named,
 * because a pod may have its ports under other numbers.
 */
export function buildSharedService(namespace: string): Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: SHARED_SERVICE,
      namespace,
      labels: { [LABEL.name]: SANDBOX_APP, [LABEL.managedBy]: MANAGER },
    },
    spec: {
      clusterIP: 'None',
      selector: { [LABEL.name]: SANDBOX_APP },
      ports: Object.entries(PORTS).map(([name, port]) => ({ name, port, targetPort: name, protocol: 'TCP' as const })),
    },
  };
}
