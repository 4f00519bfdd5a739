/** What the status of a template says, and when it is looked at again. The API server's answers are played here. */
import t from 'tap';
import { SANDBOX_TEMPLATE, type SandboxTemplate } from '../../contracts/resources.js';
import type { KubeClient, WriteOptions } from '../../kube/client.js';
import { KubeError } from '../../kube/errors.js';
import { createFakeClock } from '../../kube/testing/clock.js';
import type { Kind, KubeObject } from '../../kube/types.js';
import { createFreshCache } from '../../kube/fresh.js';
import { createTemplateReconciler } from './reconcile.js';

const installation = { secret: 's'.repeat(32), sandboxImage: 'x', uiOrigins: [] };
const { signal } = new AbortController();

function scene(answer: (kind: Kind) => Error | undefined) {
  const clock = createFakeClock();
  const templates = createFreshCache<SandboxTemplate>({ clock, changed: () => undefined });
  const asked: { kind: string; object: KubeObject; options: WriteOptions | undefined }[] = [];
  const events: string[] = [];
  const client = {
    create: async (kind: Kind, object: KubeObject, options?: WriteOptions) => {
      asked.push({ kind: kind.kind, object, options });
      const error = answer(kind);
      if (error !== undefined) throw error;
      return object;
    },
    patch: async (_kind: Kind, ref: { name: string; namespace?: string }, { status }: { status: object }) => {
      const known = templates.get(`${ref.namespace}/${ref.name}`);
      const resourceVersion = String(Number(known?.metadata.resourceVersion) + 1);
      return { ...known, metadata: { ...known?.metadata, resourceVersion }, status: { ...known?.status, ...status } };
    },
    get: () => Promise.reject(new Error('not asked')),
  } as unknown as Pick<KubeClient, 'create' | 'get' | 'patch'>;
  const reconcile = createTemplateReconciler({
    client,
    world: { templates },
    installation,
    clock,
    events: { record: (kind, _object, { reason }) => void events.push(`${kind.kind} ${reason}`) },
  });
  const put = (generation: number, spec: Partial<SandboxTemplate['spec']> = {}) =>
    templates.note({
      metadata: { name: 't', namespace: 'ns', uid: 'u', generation, resourceVersion: String(100 * generation) },
      spec: { image: 'x', ...spec },
      ...(templates.get('ns/t')?.status === undefined ? {} : { status: templates.get('ns/t')?.status ?? {} }),
    });
  put(1);
  const ready = () => templates.get('ns/t')?.status?.conditions?.[0];
  return { clock, reconcile, asked, events, put, ready, templates };
}

t.test('a template whose pods are taken', async (t) => {
  const { reconcile, asked, ready, put, clock, events } = scene(() => undefined);
  t.match(await reconcile('ns/t', signal), { type: 'wait', ms: 600_000 });
  t.match(ready(), { type: 'Ready', status: 'True', reason: 'Accepted', observedGeneration: 1 });
  t.same(
    asked.map(({ kind, options, object }) => [kind, options?.dryRun, object.metadata.ownerReferences]),
    [
      ['Pod', true, undefined],
      ['PersistentVolumeClaim', true, undefined],
    ],
    'pod and workspace claim, and nothing is stored',
  );
  t.match(await reconcile('ns/t', signal), { type: 'wait', ms: 600_000 });
  t.equal(asked.length, 2, 'its own status is no news');
  put(2, { workspace: { kind: 'Ephemeral' } });
  await reconcile('ns/t', signal);
  t.equal(asked.length, 3, 'a new generation is; an ephemeral workspace has no claim');
  await clock.advance(600_001);
  await reconcile('ns/t', signal);
  t.equal(asked.length, 4, 'and so are ten minutes');
  t.same(events, []);
});

t.test('refusals, in the words of the API server', async (t) => {
  const refused = (code: number, message: string) => new KubeError(message, { code, reason: 'x' });
  const rows: [string, Error, string][] = [
    ['a pod spec that is wrong', refused(422, 'Pod is invalid: limits must be more than requests'), 'Invalid'],
    ['one that cannot be read', refused(400, 'cannot be handled as a Pod'), 'Invalid'],
    ['Pod Security', refused(403, 'violates PodSecurity "restricted:latest"'), 'Forbidden'],
    ['a quota', refused(403, 'pods "x" is forbidden: exceeded quota: q'), 'QuotaExceeded'],
  ];
  for (const [name, error, reason] of rows) {
    const { reconcile, ready, events, clock } = scene(({ kind }) => (kind === 'Pod' ? error : undefined));
    t.match(await reconcile('ns/t', signal), { type: 'wait', ms: 60_000 }, name);
    t.match(ready(), { status: 'False', reason, message: error.message }, name);
    await clock.advance(60_001);
    await reconcile('ns/t', signal);
    t.same(events, [`${SANDBOX_TEMPLATE.kind} ${reason}`], 'told once');
  }
  const claim = scene(({ kind }) => (kind === 'Pod' ? undefined : rows[3]?.[1]));
  await claim.reconcile('ns/t', signal);
  t.match(claim.ready(), { status: 'False', reason: 'QuotaExceeded' }, 'also that of the workspace');
});

t.test('an API server that is in trouble says nothing about the template', async (t) => {
  const { reconcile, ready } = scene(() => new KubeError('down', { code: 503, reason: 'ServiceUnavailable' }));
  await t.rejects(reconcile('ns/t', signal), { code: 503 });
  t.equal(ready(), undefined);
});

t.test('a template that is gone', async (t) => {
  const { reconcile, templates } = scene(() => undefined);
  templates.noteGone({ metadata: { name: 't', namespace: 'ns', uid: 'u' } });
  t.match(await reconcile('ns/t', signal), { type: 'done' });
});
