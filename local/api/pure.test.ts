/** The pure parts as tables: selectors, patches, field sets, schemas, paths, ages, certificates. */
import { X509Certificate } from 'node:crypto';
import t from 'tap';
import { createCertificate } from './certificate.js';
import { celFaults } from './cel.js';
import { duration } from './duration.js';
import { ApiError } from './errors.js';
import { compare, fieldsOf, toFieldsV1 } from './fieldset.js';
import { createHistory, type Change } from './history.js';
import { jsonPath } from './jsonpath.js';
import { applyJsonPatch, mergePatch, strategicMerge } from './patches.js';
import { decodeProtobuf } from './protobuf.js';
import { isQuantity } from './quantity.js';
import { negotiate, parseTarget } from './request.js';
import { applyDefaults, builtinSchema, prune, type Schema } from './schema.js';
import { labelSelector } from './selectors.js';
import type { Obj } from './object.js';

/** The status code of the error that `run` throws. */
function codeOf(run: () => unknown): number | undefined {
  try {
    run();
  } catch (error) {
    if (error instanceof ApiError) return error.status.code;
    throw error;
  }
  return undefined;
}

t.test('ages', async (t) => {
  const s = 1000;
  const cases: [number, string][] = [
    [0, '0s'],
    [119 * s, '119s'],
    [120 * s, '2m'],
    [125 * s, '2m5s'],
    [11 * 60 * s, '11m'],
    [3 * 3600 * s, '3h'],
    [3 * 3600 * s + 120 * s, '3h2m'],
    [50 * 3600 * s, '2d2h'],
    [9 * 24 * 3600 * s, '9d'],
    [800 * 24 * 3600 * s, '2y70d'],
    [-5000, '<invalid>'],
  ];
  for (const [ms, wanted] of cases) t.equal(duration(ms), wanted);
});

t.test('quantities', async (t) => {
  for (const good of ['1', '500m', '1.5Gi', '-2', '1e3', '.5', '10Ki']) t.ok(isQuantity(good), good);
  for (const bad of ['', 'x', '1GB', '1 Gi', 'Gi', '1ii']) t.notOk(isQuantity(bad), bad);
});

t.test('label selectors', async (t) => {
  const object = { metadata: { name: 'x', labels: { a: '1', 'b.io/c': '' } } } as Obj;
  const cases: [string, boolean][] = [
    ['', true],
    ['a', true],
    ['!a', false],
    ['a=1,b.io/c=', true],
    ['a!=1', false],
    ['z!=1', true],
    ['a in (0, 1)', true],
    ['a notin (0,1)', false],
    ['z notin (1)', true],
    ['toString', false],
  ];
  for (const [selector, wanted] of cases) t.equal(labelSelector(selector)(object), wanted, selector);
  t.equal(
    codeOf(() => labelSelector('a b')),
    400,
  );
});

t.test('paths', async (t) => {
  const of = (path: string) => {
    const target = parseTarget(path);
    return (
      target &&
      [target.group, target.version, target.namespace, target.plural, target.name, target.subresource].join(' ')
    );
  };
  t.equal(of('/api/v1/pods'), ' v1  pods  ');
  t.equal(of('/api/v1/namespaces/a'), ' v1  namespaces a ');
  t.equal(of('/api/v1/namespaces/a/status'), ' v1  namespaces a status');
  t.equal(of('/api/v1/namespaces/a/pods/b/log'), ' v1 a pods b log');
  t.equal(of('/apis/g.io/v2/namespaces/a/things'), 'g.io v2 a things  ');
  t.equal(of('/apis/g.io/v2/things/b'), 'g.io v2  things b ');
  t.equal(of('/api/v1'), undefined);
  t.equal(of('/api/v1/namespaces/a/pods/b/log/more'), undefined);
});

t.test('what the client accepts', async (t) => {
  t.same(negotiate(undefined), { as: 'json', shape: 'object' });
  t.same(negotiate('application/vnd.kubernetes.protobuf,application/json'), { as: 'json', shape: 'object' });
  t.same(negotiate('application/json;as=Table;v=v1;g=meta.k8s.io,application/json').shape, 'table');
  t.same(negotiate('application/yaml'), { as: 'yaml', shape: 'object' });
  t.equal(
    codeOf(() => negotiate('text/html')),
    406,
  );
});

t.test('printer columns', async (t) => {
  const object = {
    status: {
      conditions: [
        { type: 'A', status: 'no' },
        { type: 'Ready', status: 'True' },
      ],
      ports: [1, 2],
    },
  };
  t.same(jsonPath('.status.conditions[?(@.type=="Ready")].status')(object), ['True']);
  t.same(jsonPath('.status.ports[1]')(object), [2]);
  t.same(jsonPath('.status.ports[*]')(object), [1, 2]);
  t.same(jsonPath('.status.nope.deeper')(object), []);
  t.same(jsonPath('not a path')(object), []);
});

t.test('patches', async (t) => {
  t.same(mergePatch({ a: 1, b: { c: 1, d: 2 } }, { a: null, b: { c: 3 } }), { b: { c: 3, d: 2 } });
  t.same(applyJsonPatch({ a: [1] }, [{ op: 'add', path: '/a/-', value: 2 }]), { a: [1, 2] });
  t.equal(
    codeOf(() => applyJsonPatch({ a: 1 }, [{ op: 'remove', path: '/b' }])),
    422,
  );
  t.same(JSON.stringify(mergePatch({}, JSON.parse('{"__proto__":{"x":1}}'))).includes('polluted'), false);
  t.equal(({} as Record<string, unknown>)['x'], undefined);
  const schema = builtinSchema('', 'v1', 'Pod');
  const pod = {
    spec: {
      containers: [
        { name: 'a', image: '1', env: [{ name: 'X', value: '1' }] },
        { name: 'b', image: '1' },
      ],
    },
  };
  const strategic = (patch: unknown) => strategicMerge(pod, patch, schema) as typeof pod;
  t.same(strategic({ spec: { containers: [{ name: 'a', image: '2' }] } }).spec.containers[0], {
    ...pod.spec.containers[0],
    image: '2',
  });
  t.same(
    strategic({ spec: { containers: [{ name: 'a', $patch: 'delete' }] } }).spec.containers.map((one) => one.name),
    ['b'],
  );
  t.same(
    strategic({
      spec: {
        containers: [
          {
            name: 'a',
            env: [
              { name: 'X', value: '2' },
              { name: 'Y', value: '3' },
            ],
          },
        ],
      },
    }).spec.containers[0]?.env,
    [
      { name: 'X', value: '2' },
      { name: 'Y', value: '3' },
    ],
  );
  const order = { spec: { '$setElementOrder/containers': [{ name: 'b' }, { name: 'a' }] } };
  t.same(
    strategic(order).spec.containers.map((one) => one.name),
    ['b', 'a'],
  );
  t.same(
    strategic({ spec: { containers: [{ $patch: 'replace' }, { name: 'c' }] } }).spec.containers.map((one) => one.name),
    ['c'],
  );
});

const SCHEMA: Schema = {
  type: 'object',
  properties: {
    list: {
      type: 'array',
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['k'],
      items: { type: 'object', properties: { k: { type: 'string' }, v: { type: 'integer', default: 7 } } },
    },
    whole: { type: 'array', items: { type: 'string' } },
    open: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
  },
};

t.test('field sets', async (t) => {
  t.same(toFieldsV1(fieldsOf({ list: [{ k: 'a', v: 1 }], whole: ['x'], open: {} }, SCHEMA)), {
    'f:list': { 'k:{"k":"a"}': { '.': {}, 'f:k': {}, 'f:v': {} } },
    'f:open': {},
    'f:whole': {},
  });
  const { changed, removed } = compare(
    { list: [{ k: 'a', v: 1 }], whole: ['x'] },
    { list: [{ k: 'a', v: 2 }], open: { y: 1 } },
    SCHEMA,
  );
  t.same(toFieldsV1(changed), { 'f:list': { 'k:{"k":"a"}': { 'f:v': {} } }, 'f:open': { '.': {}, 'f:y': {} } });
  t.same(toFieldsV1(removed), { 'f:whole': {} });
});

t.test('pruning and defaults', async (t) => {
  const value = { list: [{ k: 'a', x: 1 }], open: { any: 1 }, more: 1 };
  t.same(prune(value, SCHEMA), ['list[0].x', 'more']);
  applyDefaults(value, SCHEMA);
  t.same(value, { list: [{ k: 'a', v: 7 }], open: { any: 1 } });
});

t.test('rules', async (t) => {
  const ruled: Schema = {
    type: 'object',
    properties: { n: { type: 'integer' }, at: { type: 'string', format: 'date-time' } },
    'x-kubernetes-validations': [{ rule: 'self.n >= oldSelf.n', message: 'may only grow' }],
  };
  t.same(celFaults({ n: 1 }, undefined, ruled), [], 'a transition needs two states');
  t.same(celFaults({ n: 2 }, { n: 1 }, ruled), []);
  t.match(celFaults({ n: 1 }, { n: 2 }, ruled), [{ message: 'Invalid value: "object": may only grow' }]);
  const broken: Schema = { type: 'object', 'x-kubernetes-validations': [{ rule: 'self.nope.deeper == 1' }] };
  t.match(celFaults({}, undefined, broken), [{ message: /rule evaluation failed/ }]);
});

t.test('the window of changes is bounded', async (t) => {
  const history = createHistory(10, 3);
  const change = (rv: number) => ({ rv, resource: 'r', type: 'ADDED', object: {} }) as unknown as Change;
  for (let rv = 11; rv <= 16; rv += 1) history.push(change(rv));
  t.equal(history.since(10), undefined);
  t.same(
    history.since(14)?.map((one) => one.rv),
    [15, 16],
  );
  t.same(history.since(16), []);
  t.equal(history.oldest(), 13);
});

t.test('protobuf', async (t) => {
  const field = (number: number, body: Buffer) => Buffer.concat([Buffer.from([(number << 3) | 2, body.length]), body]);
  const string = (number: number, value: string) => field(number, Buffer.from(value));
  const meta = field(1, string(1, 'cm'));
  const data = field(2, Buffer.concat([string(1, 'k'), string(2, '')]));
  const unknown = Buffer.concat([
    field(1, Buffer.concat([string(1, 'v1'), string(2, 'ConfigMap')])),
    field(2, Buffer.concat([meta, data])),
  ]);
  t.same(decodeProtobuf(Buffer.concat([Buffer.from('k8s\0'), unknown])), {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'cm' },
    data: { k: '' },
  });
  const cut = Buffer.concat([Buffer.from('k8s\0'), unknown.subarray(0, unknown.length - 3)]);
  for (const bad of [Buffer.from('nope'), cut, Buffer.concat([Buffer.from('k8s\0'), Buffer.from([0xff, 0xff, 0xff])])])
    t.equal(
      codeOf(() => decodeProtobuf(bad)),
      400,
    );
});

t.test('the certificate is a valid one for loopback', async (t) => {
  const { cert } = createCertificate('127.0.0.1', Date.now());
  const read = new X509Certificate(cert);
  t.ok(read.verify(read.publicKey));
  t.equal(read.checkIP('127.0.0.1'), '127.0.0.1');
  t.equal(read.checkHost('localhost'), 'localhost');
  t.equal(read.checkHost('example.com'), undefined);
});
