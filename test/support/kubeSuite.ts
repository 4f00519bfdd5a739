/** What the suites of the Kubernetes API share: a namespace and a custom kind of their own, and short words for paths and objects. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { openTestApi, type Ask, type Body, type Reply } from './kubeApi.js';

export const at = (value: unknown, ...path: (string | number)[]): unknown =>
  path.reduce<unknown>((here, key) => (here as Record<string | number, unknown> | undefined | null)?.[key], value);

export const configMap = (name: string, more: Body = {}, metadata: Body = {}): Body => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, ...metadata },
  ...more,
});

export const pod = (name: string, more: Body = {}, metadata: Body = {}): Body => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, ...metadata },
  spec: {
    containers: [
      {
        name: 'agent',
        image: 'registry.example/agent:1',
        env: [{ name: 'A', value: '1' }],
        ports: [{ name: 'agent', containerPort: 8000 }],
      },
    ],
    ...more,
  },
});

/** Until `done` answers true; the tests' only wait, for what controllers do in their own time. */
export async function until(what: string, done: () => Promise<boolean>): Promise<void> {
  const limit = Date.now() + 60_000;
  while (!(await done())) {
    if (Date.now() > limit) throw new Error(`not within a minute: ${what}`);
    await sleep(50);
  }
}

const SCHEMA = {
  type: 'object',
  required: ['spec'],
  properties: {
    spec: {
      type: 'object',
      required: ['size'],
      'x-kubernetes-validations': [
        { rule: '!has(self.least) || self.size >= self.least', message: 'size must not be below least' },
        {
          rule: '!has(oldSelf.fixed) || (has(self.fixed) && self.fixed == oldSelf.fixed)',
          message: 'fixed cannot be changed',
        },
      ],
      properties: {
        size: { type: 'integer', minimum: 1, maximum: 9 },
        least: { type: 'integer' },
        color: { type: 'string', enum: ['red', 'green'], default: 'green' },
        code: { type: 'string', pattern: '^[a-z]+$', maxLength: 5 },
        fixed: { type: 'string' },
        when: { type: 'string', format: 'date-time' },
        amount: { 'x-kubernetes-int-or-string': true },
        free: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
        parts: {
          type: 'array',
          maxItems: 3,
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['name'],
          items: {
            type: 'object',
            required: ['name'],
            properties: { name: { type: 'string' }, count: { type: 'integer', default: 1 } },
          },
        },
        tags: { type: 'array', 'x-kubernetes-list-type': 'set', items: { type: 'string' } },
      },
    },
    status: {
      type: 'object',
      properties: { phase: { type: 'string' }, replicas: { type: 'integer' }, selector: { type: 'string' } },
    },
  },
};

const definitionOf = (GROUP: string) => ({
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: `widgets.${GROUP}` },
  spec: {
    group: GROUP,
    scope: 'Namespaced',
    names: { plural: 'widgets', singular: 'widget', kind: 'Widget', shortNames: ['wd'] },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: { openAPIV3Schema: SCHEMA },
        subresources: {
          status: {},
          scale: {
            specReplicasPath: '.spec.size',
            statusReplicasPath: '.status.replicas',
            labelSelectorPath: '.status.selector',
          },
        },
        additionalPrinterColumns: [
          { name: 'Size', type: 'integer', jsonPath: '.spec.size' },
          { name: 'Phase', type: 'string', jsonPath: '.status.phase' },
          { name: 'Code', type: 'string', jsonPath: '.spec.code', priority: 1 },
        ],
      },
    ],
  },
});

/** Opens an API with a fresh namespace and the kind Widget in a fresh group. `remove` takes all of it away again. */
export async function openSuite() {
  const api = await openTestApi();
  const run = randomBytes(4).toString('hex');
  const NS = `suite-${run}`;
  const GROUP = `suite-${run}.sandlot.test`;
  const CRD = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
  const ask = async (method: string, path: string, options?: Ask): Promise<Reply> =>
    await api.ask(method, path, options);
  const post = async (path: string, body: unknown): Promise<Reply> => await ask('POST', path, { body });
  const core = (plural: string, name = '', ns = NS): string =>
    `/api/v1/namespaces/${ns}/${plural}${name === '' ? '' : `/${name}`}`;
  const widgets = (name = '', ns = NS): string =>
    `/apis/${GROUP}/v1/namespaces/${ns}/widgets${name === '' ? '' : `/${name}`}`;
  const widget = (name: string, spec: Body, metadata: Body = {}): Body => ({
    apiVersion: `${GROUP}/v1`,
    kind: 'Widget',
    metadata: { name, ...metadata },
    spec,
  });
  const gone = (path: string) => async () => (await ask('GET', path)).code === 404;
  for (const [path, body] of [
    ['/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NS } }],
    [CRD, definitionOf(GROUP)],
  ] as const) {
    const made = await post(path, body);
    if (made.code !== 201) throw new Error(made.text);
  }
  await until('the CRD is served', async () => (await ask('GET', widgets())).code === 200);
  await until(
    'the service account is there',
    async () => (await ask('GET', core('serviceaccounts', 'default'))).code === 200,
  );
  return {
    api,
    NS,
    GROUP,
    ask,
    post,
    core,
    widgets,
    widget,
    gone,
    /** Call it as the last test: an open server would keep tap from its own end. */
    async remove(): Promise<void> {
      await ask('DELETE', `${CRD}/widgets.${GROUP}`);
      await ask('DELETE', `/api/v1/namespaces/${NS}`);
      await until('the namespace is gone', gone(`/api/v1/namespaces/${NS}`));
      await api.close();
    },
  };
}
