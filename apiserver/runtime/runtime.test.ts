/** What a start becomes, and what is shown of it: tables. */
import t from 'tap';
import type { Sandbox, SandboxStatus, SandboxTemplate } from '../../contracts/resources.js';
import { createImages, parseImage } from './images.js';
import { commandOf, sandboxNameOf, specOf, startBody } from './request.js';
import { runtimeStatus, showConfigs, showRuntime } from './view.js';

const OFFICIAL = {
  image: 'ghcr.io/openhands/agent-server:1.34.0-python',
  command: ['/usr/local/bin/openhands-agent-server', '--port', '60000'],
  working_dir: '/workspace',
  environment: {
    LOG_JSON: 'true',
    OH_CONVERSATIONS_PATH: '/workspace/conversations',
    OH_VSCODE_PORT: '60001',
    OH_WEBHOOKS_0_BASE_URL: 'https://app.example.org/api/v1/webhooks',
    WORKER_1: '12000',
    WORKER_2: '12001',
  },
  session_id: '6kTnWqQ9',
  resource_factor: 1,
  run_as_user: 10001,
  run_as_group: 10001,
  fs_group: 10001,
};
const mapping = { templates: [], fallback: 'standard', runtimeClasses: { 'sysbox-runc': 'kata', gvisor: '' } };
const template = (name: string, spec: SandboxTemplate['spec']): SandboxTemplate => ({ metadata: { name }, spec });
const body = (change: object = {}) => startBody.parse({ ...OFFICIAL, ...change });

t.test('what the app server sends becomes a sandbox of that image on its ports', async (t) => {
  t.same(specOf(body(), mapping), {
    template: 'standard',
    image: OFFICIAL.image,
    command: OFFICIAL.command,
    workingDir: '/workspace',
    runAsUser: 10001,
    runAsGroup: 10001,
    fsGroup: 10001,
    env: [
      { name: 'LOG_JSON', value: 'true' },
      { name: 'OH_WEBHOOKS_0_BASE_URL', value: 'https://app.example.org/api/v1/webhooks' },
    ],
    ports: [
      { name: 'agent', port: 60000 },
      { name: 'vscode', port: 60001 },
      { name: 'worker-1', port: 12000 },
      { name: 'worker-2', port: 12001 },
    ],
  });
});

t.test('a start that names a template by its image asks only for what differs', async (t) => {
  const templates = [
    template('other', { image: OFFICIAL.image, command: ['x'] }),
    template('mine', { image: OFFICIAL.image, env: [{ name: 'LOG_JSON', value: 'true' }], runAsUser: 10001 }),
  ];
  const spec = specOf(body({ command: null, run_as_group: null, fs_group: null }), {
    ...mapping,
    templates: templates.slice(1),
  });
  t.same(spec, {
    template: 'mine',
    env: [{ name: 'OH_WEBHOOKS_0_BASE_URL', value: 'https://app.example.org/api/v1/webhooks' }],
  });
  t.equal(specOf(body({ command: ['x'] }), { ...mapping, templates }).template, 'other');
  t.match(specOf(body({ command: ['y'] }), { ...mapping, templates }), { template: 'standard', command: ['y'] });
});

t.test('single fields', async (t) => {
  const of = (change: object) => specOf(body(change), mapping);
  t.equal(of({ runtime_class: 'sysbox-runc' }).runtimeClassName, 'kata');
  t.equal(of({ runtime_class: 'gvisor' }).runtimeClassName, undefined);
  t.equal(of({ runtime_class: 'own' }).runtimeClassName, 'own');
  t.equal(of({ resource_factor: 4 }).resourceFactor, 4);
  t.equal(of({ image_pull_policy: 'Always' }).imagePullPolicy, 'Always');
  t.same(of({ command: 'agent --port=9000', environment: {} }).ports, [{ name: 'agent', port: 9000 }]);
  t.same(of({ command: null, environment: { port: '60000' } }).ports, [{ name: 'agent', port: 60000 }]);
  for (const [given, words] of [
    ['/bin/agent --port 60000', ['/bin/agent', '--port', '60000']],
    ['cd /x && agent', ['/bin/sh', '-c', 'cd /x && agent']],
    ['', undefined],
    [[], undefined],
  ] as const)
    t.same(commandOf(given as string), words);
  for (const wrong of [
    { session_id: '' },
    { run_as_user: 0 },
    { resource_factor: 3 },
    { environment: { 'A B': 'x' } },
    { image: '' },
  ])
    t.notOk(startBody.safeParse({ ...OFFICIAL, ...wrong }).success, JSON.stringify(wrong));
});

t.test('names: the same for a session, another for another caller, valid for any session id', async (t) => {
  const name = sandboxNameOf('me', 'Ä/Ü 1');
  t.match(name, /^rt-[0-9a-f]{32}$/);
  t.equal(name, sandboxNameOf('me', 'Ä/Ü 1'));
  t.not(name, sandboxNameOf('you', 'Ä/Ü 1'));
  t.not(sandboxNameOf('a', 'b\nc'), sandboxNameOf('a\nb', 'c'));
});

const at = '2026-05-01T09:00:00Z';
const condition = (type: string, status: 'True' | 'False', reason = 'R', message = 'm') =>
  ({ type, status, reason, message, lastTransitionTime: at }) as const;
const sandbox = (
  status: SandboxStatus,
  change: Partial<Sandbox['metadata']> = {},
  runState: 'Running' | 'Paused' = 'Running',
): Sandbox => ({
  metadata: { name: 'rt-1', annotations: { 'sandlot.dev/session-id': '6kT' }, ...change },
  spec: { owner: 'me', runState },
  status,
});
const slot = 'saaaaaaaaaaaaa';
const access = {
  gateway: { form: 'host', protocol: 'https', domain: 'box.example.org' },
  secret: 'x'.repeat(32),
} as const;

t.test('what a caller reads', async (t) => {
  const running = sandbox({
    phase: 'Running',
    slot,
    keyEpoch: 2,
    restartCount: 1,
    conditions: [condition('Ready', 'True')],
  });
  const shown = showRuntime(running, access);
  t.match(shown, {
    runtime_id: slot,
    id: slot,
    session_id: '6kT',
    url: `https://${slot}.box.example.org`,
    status: 'running',
    pod_status: 'ready',
    status_detail: null,
    restart_count: 1,
    work_hosts: { [`https://work-1-${slot}.box.example.org`]: 8011, [`https://work-2-${slot}.box.example.org`]: 8012 },
  });
  t.match(shown.session_api_key, /^[\w-]{43}$/);
  t.match(
    showRuntime(running, { ...access, gateway: { ...access.gateway, form: 'path' } }).url,
    `https://box.example.org/${slot}`,
  );
  const pulling = sandbox({ slot, conditions: [condition('Ready', 'False', 'ImagePullBackOff', 'no such image')] });
  t.match(showRuntime(pulling, access), {
    status: 'starting',
    pod_status: 'pending',
    status_detail: 'ImagePullBackOff: no such image',
  });
  t.match(showRuntime(sandbox({}), access), { runtime_id: 'rt-1', url: null, session_api_key: null, work_hosts: {} });
  for (const [given, status] of [
    [sandbox({ phase: 'Failed' }), 'error'],
    [sandbox({ phase: 'Pausing', slot }, {}, 'Paused'), 'paused'],
    [sandbox({ phase: 'Paused', slot }, {}, 'Paused'), 'paused'],
    [sandbox({ phase: 'Running', slot }, { deletionTimestamp: at }), 'stopped'],
  ] as const)
    t.equal(runtimeStatus(given), status);
  t.same(
    showConfigs([
      template('one', {
        image: 'a:1',
        env: [
          { name: 'A', value: 'b' },
          { name: 'S', valueFrom: {} },
        ],
      }),
    ]),
    [{ name: 'one', image: 'a:1', command: null, environment: { A: 'b' }, working_dir: '/workspace/project' }],
  );
});

t.test('images: only the registry that is named is asked', async (t) => {
  t.same(parseImage('localhost:5000/a/b:1'), { registry: 'localhost:5000', repository: 'a/b', reference: '1' });
  t.same(parseImage('ghcr.io/a/b'), { registry: 'ghcr.io', repository: 'a/b', reference: 'latest' });
  for (const wrong of ['ubuntu', 'a/b:1', 'ghcr.io/../x:1', 'http://x.y/z'])
    t.equal(parseImage(wrong), undefined, wrong);
  const images = createImages({ prefix: 'ghcr.io/openhands' });
  t.same(await images.look('169.254.169.254:80/latest/meta'), { exists: false });
  await images.close();
});
