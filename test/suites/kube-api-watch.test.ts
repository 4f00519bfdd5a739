/**
 * One suite for two API servers: the one-machine cluster's (the default) and the real one that SANDLOT_TEST_KUBECONFIG
 * names. What it says of texts and codes was first seen on the real one. Here: watches, tables, deletion.
 */
import t from 'tap';
import { MERGE, type Body } from '../support/kubeApi.js';
import { at, configMap, pod, until, openSuite } from '../support/kubeSuite.js';

const suite = await openSuite();
const { api, NS, GROUP, ask, post, core, widgets, widget, gone } = suite;

t.test('watches', async (t) => {
  const path = core('configmaps');
  const version = at((await ask('GET', path)).body, 'metadata', 'resourceVersion');
  const watch = await api.watch(`${path}?watch=true&labelSelector=seen%3Dyes&resourceVersion=${String(version)}`);
  const seen = async (): Promise<string> => {
    const { type, object } = await watch.next();
    return `${type} ${String(at(object, 'metadata', 'name'))}`;
  };
  await post(path, configMap('w-hidden'));
  await post(path, configMap('w-1', {}, { labels: { seen: 'yes' } }));
  t.equal(await seen(), 'ADDED w-1');
  await ask('PATCH', `${path}/w-1`, { body: { data: { a: '1' } }, type: MERGE });
  t.equal(await seen(), 'MODIFIED w-1');
  await ask('PATCH', `${path}/w-1`, { body: { metadata: { labels: { seen: 'no' } } }, type: MERGE });
  t.equal(await seen(), 'DELETED w-1', 'it left the selector');
  await ask('PATCH', `${path}/w-1`, { body: { metadata: { labels: { seen: 'yes' } } }, type: MERGE });
  t.equal(await seen(), 'ADDED w-1', 'it came back');
  await ask('DELETE', `${path}/w-1`);
  const last = await watch.next();
  t.equal(last.type, 'DELETED');
  const current = Number(at((await ask('GET', path)).body, 'metadata', 'resourceVersion'));
  t.ok(Number(at(last.object, 'metadata', 'resourceVersion')) <= current);
  watch.close();

  const resumed = await api.watch(`${path}?watch=true&labelSelector=seen%3Dyes&resourceVersion=${String(version)}`);
  const replay = [];
  for (let count = 0; count < 5; count += 1) replay.push((await resumed.next()).type);
  t.same(replay, ['ADDED', 'MODIFIED', 'DELETED', 'ADDED', 'DELETED'], 'what was missed is told again');
  resumed.close();

  const listed = await api.watch(
    `${path}?watch=true&fieldSelector=metadata.name%3Dw-hidden&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true`,
  );
  t.match(await listed.next(), { type: 'ADDED', object: { kind: 'ConfigMap', metadata: { name: 'w-hidden' } } });
  t.match(await listed.next(), {
    type: 'BOOKMARK',
    object: {
      kind: 'ConfigMap',
      metadata: { annotations: { 'k8s.io/initial-events-end': 'true' }, resourceVersion: /^\d+$/ },
    },
  });
  listed.close();

  const ended = await api.watch(
    `${path}?watch=true&timeoutSeconds=1&resourceVersion=${current}&fieldSelector=metadata.name%3Dnone`,
  );
  await t.rejects(ended.next(), { message: 'the watch ended' });

  const old = await api.watch(`${widgets()}?watch=true&resourceVersion=1`);
  t.match(await old.next(), {
    type: 'ERROR',
    object: { kind: 'Status', code: 410, reason: 'Expired', message: /^too old resource version: 1 \(\d+\)$/ },
  });
});

t.test('tables and metadata', async (t) => {
  await post(widgets(), widget('shown', { size: 7 }));
  const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json';
  const table = await ask('GET', `${widgets()}?fieldSelector=metadata.name%3Dshown`, { accept });
  t.match(table.body, { kind: 'Table', apiVersion: 'meta.k8s.io/v1' });
  t.same(
    (table.body['columnDefinitions'] as Body[]).map(
      (one) => `${String(one['name'])} ${String(one['type'])} ${String(one['priority'])}`,
    ),
    ['Name string 0', 'Size integer 0', 'Phase string 0', 'Code string 1'],
  );
  t.same(at(table.body, 'rows', 0, 'cells'), ['shown', 7, null, null]);
  t.match(at(table.body, 'rows', 0, 'object'), { kind: 'PartialObjectMetadata', metadata: { name: 'shown' } });
  t.match((await ask('GET', widgets('shown'), { accept })).body, { kind: 'Table', rows: [{}] });
  await post(core('pods'), pod('shown'));
  const pods = await ask('GET', `${core('pods')}?fieldSelector=metadata.name%3Dshown`, { accept });
  t.same((at(pods.body, 'rows', 0, 'cells') as unknown[]).slice(0, 4).map(String), ['shown', '0/1', 'Pending', '0']);
  const watch = await api.watch(`${widgets()}?watch=true&fieldSelector=metadata.name%3Dshown`, { accept });
  t.match(await watch.next(), {
    type: 'ADDED',
    object: { kind: 'Table', rows: [{ cells: ['shown', 7, null, null] }] },
  });
  watch.close();
  const metadata = 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io';
  const partial = await ask('GET', `${widgets()}?fieldSelector=metadata.name%3Dshown`, { accept: metadata });
  t.match(partial.body, {
    kind: 'PartialObjectMetadataList',
    items: [{ kind: 'PartialObjectMetadata', metadata: { name: 'shown' } }],
  });
  t.equal(at(partial.body, 'items', 0, 'spec'), undefined);
  await ask('DELETE', core('pods', 'shown'));
});

t.test('finalizers hold an object until they are gone', async (t) => {
  const path = widgets('held');
  await post(widgets(), widget('held', { size: 1 }, { finalizers: ['sandlot.test/hold'] }));
  const deleted = await ask('DELETE', path);
  t.match(deleted.body, {
    kind: 'Widget',
    metadata: { deletionTimestamp: /Z$/, deletionGracePeriodSeconds: 0, generation: 2 },
  });
  const added = await ask('PATCH', path, {
    body: { metadata: { finalizers: ['sandlot.test/hold', 'sandlot.test/more'] } },
    type: MERGE,
  });
  t.match(added.body, {
    code: 422,
    message: `Widget.${GROUP} "held" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"sandlot.test/more"}`,
  });
  const freed = await ask('PATCH', path, { body: { metadata: { finalizers: null } }, type: MERGE });
  t.equal(freed.code, 200);
  t.equal((await ask('GET', path)).code, 404);
});

t.test('owners take their dependents along', async (t) => {
  const pair = async (name: string): Promise<void> => {
    const owner = await post(widgets(), widget(name, { size: 1 }));
    const reference = {
      apiVersion: `${GROUP}/v1`,
      kind: 'Widget',
      name,
      uid: at(owner.body, 'metadata', 'uid'),
      controller: true,
      blockOwnerDeletion: true,
    };
    const child = await post(core('configmaps'), configMap(name, {}, { ownerReferences: [reference] }));
    t.equal(child.code, 201, child.text);
  };
  const remove = async (name: string, propagationPolicy: string) =>
    await ask('DELETE', widgets(name), { body: { apiVersion: 'v1', kind: 'DeleteOptions', propagationPolicy } });

  await pair('background');
  t.equal((await remove('background', 'Background')).code, 200);
  await until('the dependent is gone', gone(core('configmaps', 'background')));

  await pair('foreground');
  t.match(await remove('foreground', 'Foreground'), { body: { metadata: { finalizers: ['foregroundDeletion'] } } });
  await until('the owner is gone', gone(widgets('foreground')));
  t.equal((await ask('GET', core('configmaps', 'foreground'))).code, 404, 'the dependent went first');

  await pair('orphan');
  await remove('orphan', 'Orphan');
  await until('the owner is gone', gone(widgets('orphan')));
  const orphan = await ask('GET', core('configmaps', 'orphan'));
  t.same([orphan.code, at(orphan.body, 'metadata', 'ownerReferences')], [200, undefined]);

  const lost = {
    apiVersion: `${GROUP}/v1`,
    kind: 'Widget',
    name: 'never',
    uid: '00000000-0000-0000-0000-000000000000',
  };
  await post(core('configmaps'), configMap('lost', {}, { ownerReferences: [lost] }));
  await until('a dependent of nobody is gone', gone(core('configmaps', 'lost')));
});

t.test('a namespace goes with all that is in it', async (t) => {
  const name = `${NS}-2`;
  await post('/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  await post(core('configmaps', '', name), configMap('inside'));
  await post(widgets('', name), widget('inside', { size: 1 }, { finalizers: ['sandlot.test/hold'] }));
  const deleted = await ask('DELETE', `/api/v1/namespaces/${name}`);
  t.match(deleted.body, { status: { phase: 'Terminating' }, metadata: { deletionTimestamp: /Z$/ } });
  const late = await post(core('configmaps', '', name), configMap('late'));
  t.match(late.body, {
    code: 403,
    reason: 'Forbidden',
    message: `configmaps "late" is forbidden: unable to create new content in namespace ${name} because it is being terminated`,
  });
  await until('the content is deleted', gone(core('configmaps', 'inside', name)));
  t.equal((await ask('GET', `/api/v1/namespaces/${name}`)).code, 200, 'a finalizer inside holds it');
  await until(
    "the finalizer's object is being deleted",
    async () => at((await ask('GET', widgets('inside', name))).body, 'metadata', 'deletionTimestamp') !== undefined,
  );
  await ask('PATCH', widgets('inside', name), { body: { metadata: { finalizers: null } }, type: MERGE });
  await until('the namespace is gone', gone(`/api/v1/namespaces/${name}`));
});

t.test('what the suite made goes', async () => {
  await suite.remove();
});
