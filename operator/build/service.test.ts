/** The shared Services. */
import t from 'tap';
import { slotOfSandbox } from '../../contracts/names.js';
import { buildSharedService, serviceName, serviceNumber } from './service.js';

const slot = slotOfSandbox('uid');

t.test('a shared Service is headless, selects the pods whose slot falls to it and finds ports by name', async (t) => {
  const number = serviceNumber(slot);
  t.match(buildSharedService('ns', slot), {
    metadata: { name: `sandlot-sandboxes-${number}`, namespace: 'ns' },
    spec: {
      clusterIP: 'None',
      selector: { 'app.kubernetes.io/name': 'sandlot-sandbox', 'sandlot.dev/service': number },
      ports: [
        { name: 'agent', port: 8000, targetPort: 'agent' },
        { name: 'vscode', targetPort: 'vscode' },
        { name: 'worker-1', targetPort: 'worker-1' },
        { name: 'worker-2', targetPort: 'worker-2' },
      ],
    },
  });
});

t.test('slots spread over the shared Services', async (t) => {
  const sizes = new Map<string, number>();
  for (let i = 0; i < 6_400; i++) {
    const name = serviceName(slotOfSandbox(`uid-${i}`));
    sizes.set(name, (sizes.get(name) ?? 0) + 1);
  }
  t.equal(sizes.size, 64);
  t.ok(Math.max(...sizes.values()) < 200, 'none has twice its share');
});
