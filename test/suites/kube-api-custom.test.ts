/**
 * One suite for two API servers: the one-machine cluster's (the default) and the real one that SANDLOT_TEST_KUBECONFIG
 * names. What it says of texts and codes was first seen on the real one. Here: custom kinds and server-side apply.
 */
import t from 'tap';
import { APPLY, MERGE, type Body, type Reply } from '../support/kubeApi.js';
import { at, openSuite } from '../support/kubeSuite.js';

const suite = await openSuite();
const { GROUP, ask, post, core, widgets, widget } = suite;

const UNCHECKED =
  '<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation';

t.test('a custom object is checked, pruned and filled by its schema', async (t) => {
  const made = await post(
    widgets(),
    widget('shape', {
      size: 3,
      unknown: 1,
      parts: [{ name: 'a', more: 1 }],
      free: { any: { thing: 1 } },
      amount: '5Gi',
    }),
  );
  t.equal(made.code, 201, made.text);
  t.same(made.body['spec'], {
    size: 3,
    color: 'green',
    parts: [{ name: 'a', count: 1 }],
    free: { any: { thing: 1 } },
    amount: '5Gi',
  });
  t.match(
    made.header('warning'),
    /299 - "unknown field \\"spec.parts\[0\].more\\""|299 - "unknown field \\"spec.unknown\\""/,
  );
  t.equal(at(made.body, 'metadata', 'generation'), 1);

  const cases: [name: string, spec: Body, cause: string][] = [
    ['enum', { size: 1, color: 'blue' }, 'spec.color: Unsupported value: "blue": supported values: "red", "green"'],
    ['minimum', { size: 0 }, 'spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1'],
    ['maximum', { size: 10 }, 'spec.size: Invalid value: 10: spec.size in body should be less than or equal to 9'],
    [
      'type',
      { size: 1, code: 5 },
      'spec.code: Invalid value: "integer": spec.code in body must be of type string: "integer"',
    ],
    ['pattern', { size: 1, code: 'AB' }, 'spec.code: Invalid value: "AB": spec.code in body should match \'^[a-z]+$\''],
    ['maxLength', { size: 1, code: 'abcdef' }, 'spec.code: Too long: may not be more than 5 bytes'],
    ['required', {}, 'spec.size: Required value'],
    [
      'format',
      { size: 1, when: 'noon' },
      'spec.when: Invalid value: "noon": spec.when in body must be of type date-time: "noon"',
    ],
    [
      'int or string',
      { size: 1, amount: true },
      'spec.amount: Invalid value: "boolean": spec.amount in body must be of type integer,string: "boolean"',
    ],
    [
      'too many',
      { size: 1, parts: ['a', 'b', 'c', 'd'].map((name) => ({ name })) },
      'spec.parts: Too many: 4: must have at most 3 items',
    ],
    [
      'duplicate key',
      { size: 1, parts: [{ name: 'a' }, { name: 'a' }] },
      'spec.parts[1]: Duplicate value: {"name":"a"}',
    ],
    ['duplicate item', { size: 1, tags: ['a', 'a'] }, 'spec.tags[1]: Duplicate value: "a"'],
    ['rule', { size: 1, least: 2 }, 'spec: Invalid value: "object": size must not be below least'],
  ];
  for (const [name, spec, cause] of cases) {
    const reply = await post(widgets(), widget('bad', spec));
    // Rules are not run on an object of the wrong shape, and the answer says so.
    const unchecked = /Unsupported|Required|Too |must be of type/.test(cause);
    const said = unchecked ? `[${cause}, ${UNCHECKED}]` : cause;
    t.same([reply.code, reply.body['message']], [422, `Widget.${GROUP} "bad" is invalid: ${said}`], name);
  }
  const several = await post(widgets(), widget('bad', { size: 0, color: 'blue' }));
  const causes = at(several.body, 'details', 'causes') as { reason: string; field: string }[];
  t.same(causes.map((one) => `${one.field} ${one.reason}`).sort(), [
    '<nil> FieldValueInvalid',
    'spec.color FieldValueNotSupported',
    'spec.size FieldValueInvalid',
  ]);
  t.match(at(several.body, 'details'), { name: 'bad', group: GROUP, kind: 'Widget' });
  const strict = await post(`${widgets()}?fieldValidation=Strict`, widget('bad', { size: 1, unknown: 1 }));
  t.match(strict.body, {
    code: 400,
    message:
      'Widget in version "v1" cannot be handled as a Widget: strict decoding error: unknown field "spec.unknown"',
  });
});

t.test('generation, status and transition rules', async (t) => {
  const path = widgets('states');
  const made = await post(widgets(), { ...widget('states', { size: 2, fixed: 'a' }), status: { phase: 'Invented' } });
  t.equal(made.body['status'], undefined, "status is not the creator's");
  const unversioned = await ask('PUT', path, { body: widget('states', { size: 2, fixed: 'a' }) });
  t.match(unversioned.body, {
    code: 422,
    message: `widgets.${GROUP} "states" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update`,
  });
  const changed = await ask('PATCH', path, { body: { spec: { fixed: 'b' } }, type: MERGE });
  t.match(changed.body, {
    code: 422,
    message: `Widget.${GROUP} "states" is invalid: spec: Invalid value: "object": fixed cannot be changed`,
  });
  const status = await ask('PATCH', `${path}/status`, {
    body: { status: { phase: 'On' }, spec: { size: 9 } },
    type: MERGE,
  });
  t.same(
    [at(status.body, 'status', 'phase'), at(status.body, 'spec', 'size'), at(status.body, 'metadata', 'generation')],
    ['On', 2, 1],
  );
  const main = await ask('PATCH', path, { body: { status: { phase: 'Off' }, spec: { size: 4 } }, type: MERGE });
  t.same(
    [at(main.body, 'status', 'phase'), at(main.body, 'spec', 'size'), at(main.body, 'metadata', 'generation')],
    ['On', 4, 2],
  );
  const label = await ask('PATCH', path, { body: { metadata: { labels: { a: 'b' } } }, type: MERGE });
  t.equal(at(label.body, 'metadata', 'generation'), 2, 'labels do not count');

  t.match((await ask('GET', `${path}/scale`)).body, {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    spec: { replicas: 4 },
    status: { replicas: 0 },
  });
  const scaled = await ask('PATCH', `${path}/scale`, { body: { spec: { replicas: 5 } }, type: MERGE });
  t.same([scaled.code, at(scaled.body, 'spec', 'replicas')], [200, 5]);
  t.same(at((await ask('GET', path)).body, 'spec', 'size'), 5);
});

const applyTo = async (path: string, manager: string, body: unknown, query = ''): Promise<Reply> =>
  await ask('PATCH', `${path}?fieldManager=${manager}${query}`, { body, type: APPLY });

t.test('server-side apply', async (t) => {
  const path = widgets('applied');
  const first = await applyTo(
    path,
    'one',
    widget('applied', { size: 1, parts: [{ name: 'a', count: 2 }], tags: ['x'] }),
  );
  t.equal(first.code, 201, first.text);
  const entry = at(first.body, 'metadata', 'managedFields', 0) as Body;
  t.match(entry, { manager: 'one', operation: 'Apply', apiVersion: `${GROUP}/v1`, fieldsType: 'FieldsV1' });
  t.same(entry['fieldsV1'], {
    'f:spec': {
      'f:size': {},
      'f:parts': { 'k:{"name":"a"}': { '.': {}, 'f:name': {}, 'f:count': {} } },
      'f:tags': { 'v:"x"': {} },
    },
  });

  const same = await applyTo(
    path,
    'one',
    widget('applied', { size: 1, parts: [{ name: 'a', count: 2 }], tags: ['x'] }),
  );
  t.equal(
    at(same.body, 'metadata', 'resourceVersion'),
    at(first.body, 'metadata', 'resourceVersion'),
    'the same again writes nothing',
  );

  const second = await applyTo(path, 'two', widget('applied', { parts: [{ name: 'b' }], tags: ['y'] } as Body));
  t.equal(second.code, 200, second.text);
  t.same(at(second.body, 'spec', 'parts'), [
    { name: 'a', count: 2 },
    { name: 'b', count: 1 },
  ]);
  t.same(at(second.body, 'spec', 'tags'), ['x', 'y']);

  const refused = await applyTo(path, 'two', widget('applied', { size: 2, parts: [{ name: 'b' }] }));
  t.match(refused.body, {
    code: 409,
    reason: 'Conflict',
    message: 'Apply failed with 1 conflict: conflict with "one": .spec.size',
    details: { causes: [{ reason: 'FieldManagerConflict', message: 'conflict with "one"', field: '.spec.size' }] },
  });
  const forced = await applyTo(path, 'two', widget('applied', { size: 2, parts: [{ name: 'b' }] }), '&force=true');
  t.same(
    [at(forced.body, 'spec', 'size'), at(forced.body, 'spec', 'tags')],
    [2, ['x']],
    'forced; what two no longer applies is gone',
  );

  await applyTo(path, 'one', widget('applied', { tags: ['x'] } as Body));
  const left = (await ask('GET', path)).body['spec'] as Body;
  t.same([left['size'], left['parts']], [2, [{ name: 'b', count: 1 }]], "one gave up its part; the size is two's");

  const updated = await ask('PATCH', path, { body: { spec: { size: 3 } }, type: MERGE });
  const managers = at(updated.body, 'metadata', 'managedFields') as Body[];
  t.match(
    managers.find((one) => one['manager'] === 'suite'),
    { operation: 'Update', fieldsV1: { 'f:spec': { 'f:size': {} } } },
  );
  const against = await applyTo(path, 'two', widget('applied', { size: 2, parts: [{ name: 'b' }] }));
  t.match(against.body, {
    code: 409,
    message: `Apply failed with 1 conflict: conflict with "suite" using ${GROUP}/v1: .spec.size`,
  });

  t.equal(
    (await ask('PATCH', path, { body: widget('applied', { size: 1 }), type: APPLY })).code,
    422,
    'a manager is required',
  );
  t.equal((await applyTo(path, 'x', { kind: 'Widget', metadata: { name: 'applied' } })).code, 400);

  const status = await ask('PATCH', `${path}/status?fieldManager=keeper`, {
    body: { apiVersion: `${GROUP}/v1`, kind: 'Widget', metadata: { name: 'applied' }, status: { phase: 'On' } },
    type: APPLY,
  });
  t.same([status.code, at(status.body, 'status', 'phase')], [200, 'On']);
  const keeper = (at(status.body, 'metadata', 'managedFields') as Body[]).find((one) => one['manager'] === 'keeper');
  t.match(keeper, { subresource: 'status', fieldsV1: { 'f:status': { 'f:phase': {} } } });

  const service = core('services', 'applied');
  const port = (name: string, number: number) => ({ name, port: number });
  const of = (ports: unknown) => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'applied' },
    spec: { clusterIP: 'None', selector: { a: 'b' }, ports },
  });
  t.equal((await applyTo(service, 'one', of([port('http', 80)]))).code, 201);
  const both = await applyTo(service, 'one', of([port('http', 80), port('more', 81)]));
  t.same(
    (at(both.body, 'spec', 'ports') as Body[]).map((one) => one['name']),
    ['http', 'more'],
  );
  const fewer = await applyTo(service, 'one', of([port('more', 81)]));
  t.same(
    (at(fewer.body, 'spec', 'ports') as Body[]).map((one) => one['name']),
    ['more'],
  );
});

t.test('what the suite made goes', async () => {
  await suite.remove();
});
