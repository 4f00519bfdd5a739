import t from 'tap';
import { judge, readDeeds, type Rule } from './rights.js';

async function* log(...events: object[]): AsyncGenerator<string> {
  for (const event of events) yield JSON.stringify(event);
  yield '{"user":{"username":"system:serviceaccount:ns:s-operator"';
}
const event = (who: string, verb: string, objectRef: object | undefined, decision = 'allow') => ({
  verb,
  user: { username: who },
  objectRef,
  annotations: { 'authorization.k8s.io/decision': decision },
});
const operator = 'system:serviceaccount:ns:s-operator';

t.test('what was done, refused and never used', async (t) => {
  const deeds = await readDeeds(
    log(
      event(operator, 'list', { resource: 'pods' }),
      event(operator, 'patch', { resource: 'sandboxes', subresource: 'status', apiGroup: 'sandlot.dev' }),
      event(operator, 'get', { resource: 'nodes' }, 'forbid'),
      event(operator, 'get', undefined),
      event('system:serviceaccount:other:s-operator', 'delete', { resource: 'pods' }),
      event('admin', 'watch', { resource: 'pods' }),
    ),
    'ns',
  );
  t.same([...deeds.keys()], ['s-operator']);
  const rules: Rule[] = [
    { apiGroups: [''], resources: ['pods'], verbs: ['list', 'watch', 'delete'] },
    { apiGroups: ['sandlot.dev'], resources: ['sandboxes/status'], verbs: ['patch'] },
  ];
  t.same(judge(rules, deeds.get('s-operator'), { 'delete pods': 'seldom', 'get secrets': 'no more' }), {
    refused: ['get nodes'],
    idle: ['watch pods'],
    stale: ['get secrets'],
  });
  t.equal(judge(rules, undefined, {}).idle.length, 4, 'a program that did nothing used none');
});
