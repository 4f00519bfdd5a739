/**
 * One suite for two API servers: the one-machine cluster's (the default) and the real one that SANDLOT_TEST_KUBECONFIG
 * names. What it says of texts and codes was first seen on the real one. Here: errors.
 */
import t from 'tap';
import { STRATEGIC, type Ask } from '../support/kubeApi.js';
import { configMap, openSuite } from '../support/kubeSuite.js';

const suite = await openSuite();
const { GROUP, ask, post, core, widgets } = suite;

t.test('errors read alike', async (t) => {
  await post(core('configmaps'), configMap('errors'));
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'Bad_Name' },
    spec: { containers: [{ name: 'a', image: 'x' }] },
  };
  const cases: {
    name: string;
    method: string;
    path: string;
    options?: Ask;
    code: number;
    reason?: string;
    message?: string | RegExp;
  }[] = [
    {
      name: 'missing object',
      method: 'GET',
      path: core('pods', 'nope'),
      code: 404,
      reason: 'NotFound',
      message: 'pods "nope" not found',
    },
    {
      name: 'missing custom object',
      method: 'GET',
      path: widgets('nope'),
      code: 404,
      reason: 'NotFound',
      message: `widgets.${GROUP} "nope" not found`,
    },
    { name: 'missing path', method: 'GET', path: '/nope', code: 404 },
    { name: 'missing group', method: 'GET', path: '/apis/nope.example/v1/things', code: 404 },
    {
      name: 'missing resource',
      method: 'GET',
      path: '/api/v1/nopes',
      code: 404,
      reason: 'NotFound',
      message: 'the server could not find the requested resource',
    },
    {
      name: 'missing namespace',
      method: 'POST',
      path: core('configmaps', '', 'nope-nope'),
      options: { body: configMap('a') },
      code: 404,
      reason: 'NotFound',
      message: 'namespaces "nope-nope" not found',
    },
    {
      name: 'exists',
      method: 'POST',
      path: core('configmaps'),
      options: { body: configMap('errors') },
      code: 409,
      reason: 'AlreadyExists',
      message: 'configmaps "errors" already exists',
    },
    {
      name: 'wrong method',
      method: 'PUT',
      path: core('configmaps'),
      options: { body: configMap('errors') },
      code: 405,
      reason: 'MethodNotAllowed',
      message: 'the server does not allow this method on the requested resource',
    },
    {
      name: 'wrong form',
      method: 'GET',
      path: core('configmaps'),
      options: { accept: 'text/html' },
      code: 406,
      reason: 'NotAcceptable',
      message: /application\/json, application\/yaml/,
    },
    {
      name: 'wrong body',
      method: 'POST',
      path: core('configmaps'),
      options: { body: 'a=b', type: 'application/x-www-form-urlencoded' },
      code: 415,
      reason: 'UnsupportedMediaType',
      message: /^the body of the request was in an unknown format - accepted media types include: application\/json/,
    },
    {
      name: 'wrong patch',
      method: 'PATCH',
      path: core('configmaps', 'errors'),
      options: { body: {}, type: 'application/json' },
      code: 415,
      reason: 'UnsupportedMediaType',
      message: '415: Unsupported Media Type',
    },
    {
      name: 'strategic merge of a custom object',
      method: 'PATCH',
      path: widgets('nope'),
      options: { body: {}, type: STRATEGIC },
      code: 415,
      reason: 'UnsupportedMediaType',
    },
    {
      name: 'not JSON',
      method: 'POST',
      path: core('configmaps'),
      options: { body: '{' },
      code: 400,
      reason: 'BadRequest',
    },
    {
      name: 'another namespace',
      method: 'POST',
      path: core('configmaps'),
      options: { body: configMap('a', {}, { namespace: 'other' }) },
      code: 400,
      reason: 'BadRequest',
      message: 'the namespace of the provided object does not match the namespace sent on the request',
    },
    {
      name: 'another name',
      method: 'PUT',
      path: core('configmaps', 'errors'),
      options: { body: configMap('b') },
      code: 400,
      reason: 'BadRequest',
      message: 'the name of the object (b) does not match the name on the URL (errors)',
    },
    {
      name: 'version at creation',
      method: 'POST',
      path: core('configmaps'),
      options: { body: configMap('a', {}, { resourceVersion: '5' }) },
      code: 500,
      message: 'resourceVersion should not be set on objects to be created',
    },
    {
      name: 'no name',
      method: 'POST',
      path: core('configmaps'),
      options: { body: { apiVersion: 'v1', kind: 'ConfigMap', metadata: {} } },
      code: 422,
      reason: 'Invalid',
      message: 'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required',
    },
    {
      name: 'wrong name',
      method: 'POST',
      path: core('pods'),
      options: { body: pod },
      code: 422,
      reason: 'Invalid',
      message:
        /^Pod "Bad_Name" is invalid: metadata.name: Invalid value: "Bad_Name": a lowercase RFC 1123 subdomain must consist of/,
    },
    {
      name: 'wrong label',
      method: 'POST',
      path: core('configmaps'),
      options: { body: configMap('a', {}, { labels: { a: 'b c' } }) },
      code: 422,
      reason: 'Invalid',
      message:
        /^ConfigMap "a" is invalid: metadata.labels: Invalid value: "b c": a valid label must be an empty string or consist of/,
    },
    {
      name: 'wrong type',
      method: 'POST',
      path: core('configmaps'),
      options: { body: configMap('a', { data: { a: 1 } }) },
      code: 400,
      reason: 'BadRequest',
      message:
        /^ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data of type string/,
    },
    {
      name: 'wrong selector',
      method: 'GET',
      path: `${core('configmaps')}?labelSelector=a%20b%20c`,
      code: 400,
      reason: 'BadRequest',
      message: /^unable to parse requirement: /,
    },
    {
      name: 'wrong field',
      method: 'GET',
      path: `${core('configmaps')}?fieldSelector=spec.x%3D1`,
      code: 400,
      reason: 'BadRequest',
      message: '"spec.x" is not a known field selector: only "metadata.name", "metadata.namespace"',
    },
    {
      name: 'wrong continue',
      method: 'GET',
      path: `${core('configmaps')}?limit=1&continue=nonsense`,
      code: 400,
      reason: 'BadRequest',
      message: /continue key is not valid/,
    },
    {
      name: 'unknown field',
      method: 'POST',
      path: `${core('configmaps')}?fieldValidation=Strict`,
      options: { body: configMap('a', { dada: {} }) },
      code: 400,
      reason: 'BadRequest',
      message:
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "dada"',
    },
    {
      name: 'no token',
      method: 'GET',
      path: core('configmaps'),
      options: { token: 'wrong' },
      code: 401,
      reason: 'Unauthorized',
      message: 'Unauthorized',
    },
  ];
  for (const { name, method, path, options, code, reason, message } of cases) {
    const reply = await ask(method, path, options);
    t.equal(reply.code, code, `${name}: ${reply.text.slice(0, 300)}`);
    if (message === undefined && code === 404) t.equal(reply.text, '404 page not found\n', name);
    else
      t.match(
        reply.body,
        {
          kind: 'Status',
          apiVersion: 'v1',
          status: 'Failure',
          code,
          ...(reason === undefined ? {} : { reason }),
          ...(message === undefined ? {} : { message }),
        },
        name,
      );
  }
});

t.test('what the suite made goes', async () => {
  await suite.remove();
});
