/**
 * One suite for two API servers: the one-machine cluster's (the default) and the real one that SANDLOT_TEST_KUBECONFIG
 * names. What it says of texts and codes was first seen on the real one. Here: built-in kinds.
 */
import t from 'tap';
import { JSON_PATCH, MERGE, STRATEGIC, type Body, type Reply } from '../support/kubeApi.js';
import { at, configMap, pod, until, openSuite } from '../support/kubeSuite.js';

const suite = await openSuite();
const { NS, GROUP, ask, post, core, gone } = suite;

t.test('discovery names what is served', async (t) => {
  t.match((await ask('GET', '/version')).body, { major: '1' });
  t.equal((await ask('GET', '/healthz')).text, 'ok');
  t.equal((await ask('GET', '/readyz')).text, 'ok');
  t.match((await ask('GET', '/api')).body, { kind: 'APIVersions', versions: ['v1'] });
  const groups = at((await ask('GET', '/apis')).body, 'groups') as { name: string }[];
  t.ok(groups.some((one) => one.name === GROUP));
  t.match((await ask('GET', `/apis/${GROUP}`)).body, {
    kind: 'APIGroup',
    preferredVersion: { groupVersion: `${GROUP}/v1` },
  });
  const resources = at((await ask('GET', `/apis/${GROUP}/v1`)).body, 'resources') as Body[];
  t.match(
    resources.find((one) => one['name'] === 'widgets'),
    { kind: 'Widget', namespaced: true, shortNames: ['wd'], singularName: 'widget' },
  );
  t.match(
    resources.find((one) => one['name'] === 'widgets/scale'),
    { group: 'autoscaling', version: 'v1', kind: 'Scale' },
  );
  t.ok(resources.some((one) => one['name'] === 'widgets/status'));
  const accept = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';
  t.match((await ask('GET', '/apis', { accept })).body, {
    kind: 'APIGroupDiscoveryList',
    apiVersion: 'apidiscovery.k8s.io/v2',
  });
  t.match((await ask('GET', '/openapi/v3')).body, {
    paths: { 'api/v1': { serverRelativeURL: /^\/openapi\/v3\/api\/v1\?hash=/ } },
  });
  const document = await ask('GET', '/openapi/v3/api/v1');
  t.match(at(document.body, 'components', 'schemas', 'io.k8s.api.core.v1.Pod'), {
    'x-kubernetes-group-version-kind': [{ kind: 'Pod' }],
  });
});

t.test('an object lives through create, read, replace, patch and delete', async (t) => {
  const made = await post(core('configmaps'), configMap('life', { data: { a: '1' } }, { labels: { x: 'y' } }));
  t.equal(made.code, 201);
  t.match(made.body, {
    kind: 'ConfigMap',
    apiVersion: 'v1',
    metadata: {
      name: 'life',
      namespace: NS,
      uid: /^[0-9a-f-]{36}$/,
      resourceVersion: /^\d+$/,
      creationTimestamp: /^\d{4}-.*Z$/,
    },
  });
  const path = core('configmaps', 'life');
  t.same((await ask('GET', path)).body, made.body);
  const stale = at(made.body, 'metadata', 'resourceVersion');

  const replaced = await ask('PUT', path, { body: configMap('life', { data: { b: '2' } }) });
  t.same([replaced.code, replaced.body['data'], at(replaced.body, 'metadata', 'labels')], [200, { b: '2' }, undefined]);
  t.not(at(replaced.body, 'metadata', 'resourceVersion'), stale);
  const again = await ask('PUT', path, { body: replaced.body });
  t.equal(
    at(again.body, 'metadata', 'resourceVersion'),
    at(replaced.body, 'metadata', 'resourceVersion'),
    'no change, no new version',
  );
  const lost = await ask('PUT', path, { body: configMap('life', {}, { resourceVersion: stale }) });
  t.match(lost.body, {
    code: 409,
    reason: 'Conflict',
    message:
      'Operation cannot be fulfilled on configmaps "life": the object has been modified; please apply your changes to the latest version and try again',
    details: { name: 'life', kind: 'configmaps' },
  });

  const merged = await ask('PATCH', path, { body: { data: { b: null, c: '3' } }, type: MERGE });
  t.same([merged.code, merged.body['data']], [200, { c: '3' }]);
  const precise = await ask('PATCH', path, {
    body: [
      { op: 'test', path: '/data/c', value: '3' },
      { op: 'add', path: '/data/d', value: '4' },
    ],
    type: JSON_PATCH,
  });
  t.same([precise.code, precise.body['data']], [200, { c: '3', d: '4' }]);
  const refused = await ask('PATCH', path, { body: [{ op: 'test', path: '/data/c', value: 'x' }], type: JSON_PATCH });
  t.same([refused.code, refused.body['reason']], [422, 'Invalid']);
  t.match(refused.body['message'], /^the server rejected our request due to an error in our request/);
  const conditional = await ask('PATCH', path, {
    body: { metadata: { resourceVersion: stale }, data: {} },
    type: MERGE,
  });
  t.equal(conditional.code, 409);
  t.equal((await ask('PATCH', `${path}?dryRun=All`, { body: { data: { z: '1' } }, type: MERGE })).code, 200);
  t.equal(at((await ask('GET', path)).body, 'data', 'z'), undefined, 'a dry run writes nothing');

  const uid = at(made.body, 'metadata', 'uid');
  const wrong = await ask('DELETE', path, {
    body: { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: { uid: 'other' } },
  });
  t.match(wrong.body, {
    code: 409,
    reason: 'Conflict',
    message: `Operation cannot be fulfilled on ConfigMap "life": the UID in the precondition (other) does not match the UID in record (${String(uid)}). The object might have been deleted and then recreated`,
  });
  const dry = await ask('DELETE', `${path}?dryRun=All`);
  t.equal(dry.code, 200);
  const deleted = await ask('DELETE', path);
  t.match(deleted.body, { kind: 'Status', status: 'Success', details: { name: 'life', kind: 'configmaps', uid } });
  t.equal((await ask('GET', path)).code, 404);

  const generated = await post(core('configmaps'), {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { generateName: 'gen-' },
  });
  t.match(at(generated.body, 'metadata', 'name'), /^gen-[a-z0-9]{5}$/);
});

t.test('pods: defaults, strategic merge, what cannot change', async (t) => {
  const made = await post(core('pods'), pod('shape'));
  t.equal(made.code, 201, made.text);
  t.match(made.body, {
    spec: {
      restartPolicy: 'Always',
      dnsPolicy: 'ClusterFirst',
      terminationGracePeriodSeconds: 30,
      serviceAccountName: 'default',
      schedulerName: 'default-scheduler',
      containers: [{ imagePullPolicy: 'IfNotPresent', ports: [{ containerPort: 8000, protocol: 'TCP' }] }],
    },
    status: { phase: 'Pending', qosClass: 'BestEffort' },
  });
  const path = core('pods', 'shape');
  const image = await ask('PATCH', path, {
    body: { spec: { containers: [{ name: 'agent', image: 'registry.example/agent:2' }] } },
    type: STRATEGIC,
  });
  t.equal(image.code, 200, image.text);
  t.match(at(image.body, 'spec', 'containers', 0), { image: 'registry.example/agent:2', env: [{ name: 'A' }] });
  const fixed = await ask('PATCH', path, {
    body: { spec: { containers: [{ name: 'agent', env: [{ name: 'B', value: '2' }] }] } },
    type: STRATEGIC,
  });
  t.equal(fixed.code, 422);
  t.match(
    fixed.body['message'],
    /^Pod "shape" is invalid: spec: Forbidden: pod updates may not change fields other than `spec.containers\[\*\].image`/,
  );
  const condition = (type: string, status: string) => ({ status: { conditions: [{ type, status }] } });
  await ask('PATCH', `${path}/status`, { body: condition('Ready', 'False'), type: STRATEGIC });
  await ask('PATCH', `${path}/status`, { body: condition('Other', 'True'), type: STRATEGIC });
  const status = await ask('PATCH', `${path}/status`, { body: condition('Ready', 'True'), type: STRATEGIC });
  const conditions = at(status.body, 'status', 'conditions') as Body[];
  t.same(conditions.map((one) => `${String(one['type'])}=${String(one['status'])}`).sort(), [
    'Other=True',
    'Ready=True',
  ]);
  const faulty: [Body, RegExp][] = [
    [{ containers: [] }, /spec.containers: Required value/],
    [{ containers: [{ name: 'a' }] }, /spec.containers\[0\].image: Required value/],
    [{ containers: [{ image: 'a' }] }, /spec.containers\[0\].name: Required value/],
    [
      { restartPolicy: 'Sometimes' },
      /spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"/,
    ],
    [
      { containers: [{ name: 'a', image: 'x', volumeMounts: [{ name: 'no', mountPath: '/x' }] }] },
      /spec.containers\[0\].volumeMounts\[0\].name: Not found: "no"/,
    ],
    [
      { containers: [{ name: 'a', image: 'x', ports: [{ containerPort: 70000 }] }] },
      /spec.containers\[0\].ports\[0\].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive/,
    ],
  ];
  for (const [spec, message] of faulty) {
    const reply = await post(core('pods'), pod('faulty', spec));
    t.same([reply.code, message.test(String(reply.body['message']))], [422, true], String(reply.body['message']));
  }
  t.equal((await ask('GET', `${core('pods')}?fieldSelector=status.phase%3DPending,metadata.name%3Dshape`)).code, 200);
  const deleted = await ask('DELETE', path);
  t.equal(deleted.body['kind'], 'Pod', 'DELETE of a pod answers the pod');
  await until('a pod without a node goes at once', gone(path));

  const bound = await post(
    core('pods'),
    pod('bound', { nodeName: 'no-such-node', terminationGracePeriodSeconds: 300 }),
  );
  t.equal(bound.code, 201);
  const ending = await ask('DELETE', core('pods', 'bound'));
  t.match(ending.body, { metadata: { deletionTimestamp: /Z$/, deletionGracePeriodSeconds: 300 } });
  t.equal((await ask('GET', core('pods', 'bound'))).code, 200);
  const uid = at(ending.body, 'metadata', 'uid');
  await ask('DELETE', core('pods', 'bound'), {
    body: { apiVersion: 'v1', kind: 'DeleteOptions', gracePeriodSeconds: 0, preconditions: { uid } },
  });
  await until('grace period 0 ends it', gone(core('pods', 'bound')));
});

t.test('services and secrets', async (t) => {
  const service = await post(core('services'), {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'svc' },
    spec: { clusterIP: 'None', selector: { a: 'b' }, ports: [{ name: 'agent', port: 8000, targetPort: 'agent' }] },
  });
  t.match(service.body, {
    spec: {
      type: 'ClusterIP',
      clusterIP: 'None',
      sessionAffinity: 'None',
      ports: [{ protocol: 'TCP', targetPort: 'agent' }],
    },
  });
  const unnamed = await post(core('services'), {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'two' },
    spec: { ports: [{ port: 1 }, { port: 2 }] },
  });
  t.match(unnamed.body, { code: 422, message: /spec.ports\[0\].name: Required value/ });
  const wrong = await post(core('services'), {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: '9x' },
    spec: { ports: [{ port: 1 }] },
  });
  t.match(wrong.body, { code: 422, message: /metadata.name: Invalid value: "9x": a DNS-1035 label must consist of/ });
  const secret = await post(core('secrets'), {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'sec' },
    stringData: { a: 'b' },
  });
  t.match(secret.body, { type: 'Opaque', data: { a: 'Yg==' } });
  t.equal(secret.body['stringData'], undefined);
  const frozen = await ask('PATCH', core('secrets', 'sec'), { body: { type: 'other' }, type: MERGE });
  t.match(frozen.body, {
    code: 422,
    message: 'Secret "sec" is invalid: type: Invalid value: "other": field is immutable',
  });
});

t.test('lists: pages and selectors', async (t) => {
  for (const name of ['a', 'b', 'c', 'd', 'e'])
    await post(
      core('configmaps'),
      configMap(`page-${name}`, {}, { labels: { page: name, odd: String('ace'.includes(name)) } }),
    );
  const names = (reply: Reply) => (reply.body['items'] as Body[]).map((one) => at(one, 'metadata', 'name'));
  const base = `${core('configmaps')}?labelSelector=page`;
  const first = await ask('GET', `${base}&limit=2`);
  t.same(names(first), ['page-a', 'page-b']);
  await ask('DELETE', core('configmaps', 'page-d'));
  const token = encodeURIComponent(String(at(first.body, 'metadata', 'continue')));
  const second = await ask('GET', `${base}&limit=2&continue=${token}`);
  t.same(names(second), ['page-c', 'page-d'], 'pages show one moment');
  t.equal(at(second.body, 'metadata', 'resourceVersion'), at(first.body, 'metadata', 'resourceVersion'));
  const selectors: [string, string[]][] = [
    ['page=a', ['a']],
    ['page==b', ['b']],
    ['page!=a,page', ['b', 'c', 'e']],
    ['page in (a,c)', ['a', 'c']],
    ['page,page notin (a,c)', ['b', 'e']],
    ['odd=true,page!=c', ['a', 'e']],
    ['page,!odd', []],
  ];
  for (const [selector, wanted] of selectors)
    t.same(
      names(await ask('GET', `${core('configmaps')}?labelSelector=${encodeURIComponent(selector)}`)),
      wanted.map((name) => `page-${name}`),
      selector,
    );
  t.same(names(await ask('GET', `${core('configmaps')}?fieldSelector=metadata.name%3Dpage-a`)), ['page-a']);
  const removed = await ask('DELETE', base);
  t.equal(removed.code, 200);
  t.same(names(await ask('GET', base)), []);
});

t.test('leases and events', async (t) => {
  const leases = `/apis/coordination.k8s.io/v1/namespaces/${NS}/leases`;
  const lease = (renewTime: string, version?: unknown): Body => ({
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name: 'lead', ...(version === undefined ? {} : { resourceVersion: version }) },
    spec: { holderIdentity: 'a', leaseDurationSeconds: 15, renewTime },
  });
  const made = await post(leases, lease('2026-01-01T00:00:00.000000Z'));
  t.equal(made.code, 201, made.text);
  const version = at(made.body, 'metadata', 'resourceVersion');
  t.equal((await ask('PUT', `${leases}/lead`, { body: lease('2026-01-01T00:00:01.000000Z', version) })).code, 200);
  t.equal(
    (await ask('PUT', `${leases}/lead`, { body: lease('2026-01-01T00:00:02.000000Z', version) })).code,
    409,
    'one holder wins',
  );

  const events = `/apis/events.k8s.io/v1/namespaces/${NS}/events`;
  const event = {
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    metadata: { name: 'told' },
    eventTime: '2026-01-01T00:00:00.000000Z',
    reportingController: 'sandlot.dev/operator',
    reportingInstance: 'one',
    action: 'Start',
    reason: 'Started',
    type: 'Normal',
    note: 'It runs.',
    regarding: { kind: 'Widget', namespace: NS, name: 'shape', apiVersion: `${GROUP}/v1` },
  };
  const told = await post(events, event);
  t.equal(told.code, 201, told.text);
  const old = await ask('GET', core('events', 'told'));
  t.match(old.body, {
    message: 'It runs.',
    involvedObject: { name: 'shape' },
    reportingComponent: 'sandlot.dev/operator',
  });
  const about = await ask(
    'GET',
    `${core('events')}?fieldSelector=involvedObject.name%3Dshape,involvedObject.kind%3DWidget`,
  );
  t.equal((about.body['items'] as unknown[]).length, 1);
});

t.test('access reviews', async (t) => {
  const body = {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SelfSubjectAccessReview',
    spec: { resourceAttributes: { verb: 'create', resource: 'pods', namespace: NS } },
  };
  const reply = await post('/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', body);
  t.match(reply.body, { kind: 'SelfSubjectAccessReview', status: { allowed: true } });
});

t.test('what the suite made goes', async () => {
  await suite.remove();
});
