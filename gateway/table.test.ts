/** What happens when two say the same of themselves, and that nothing is kept for those who are gone. */
import t from 'tap';
import { LABEL } from '../contracts/labels.js';
import { slotOfSandbox } from '../contracts/names.js';
import type { Sandbox } from '../contracts/resources.js';
import { rightful } from './claims.js';
import { createTemplates } from './common.js';
import { createTable } from './table.js';
import { keyOf, sandboxOf, SECRET, sliceOf, slotNamed } from './testing/harness.js';
import { CONVERSATION, PORTS } from './testing/table.js';

const A = slotNamed('a');
const B = slotNamed('b');

interface Says {
  name: string;
  owner: string;
  second?: number;
  epoch?: number;
  uid?: string;
}

function claimant(slot: string, { name, owner, second = 0, epoch = 1, uid = `uid-${name}` }: Says): Sandbox {
  const sandbox = sandboxOf(slot, { name, spec: { owner }, status: { keyEpoch: epoch } });
  const creationTimestamp = new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString();
  Object.assign(sandbox.metadata, { uid, creationTimestamp, labels: { [LABEL.conversation]: CONVERSATION } });
  return sandbox;
}

const mine = claimant(A, { name: 'mine', owner: 'alice', second: 1, epoch: 2 });

t.test('a slot that another sandbox claims too stays its first owner’s, whatever comes first', async (t) => {
  const hostile = claimant(A, { name: 'a-hostile', owner: 'mallory', second: 2, epoch: 1 });
  for (const order of [
    [mine, hostile],
    [hostile, mine],
    [mine, hostile, mine, hostile],
  ]) {
    const changed: string[] = [];
    const table = createTable(SECRET, { changed: (slot) => void changed.push(slot) });
    table.upsertSlice(sliceOf(A, '10.0.0.1', PORTS));
    for (const sandbox of order) table.upsertSandbox(sandbox);
    t.match(table.bySlot(A), { sandbox: 'mine', owner: 'alice', address: { ip: '10.0.0.1' } });
    t.equal(table.byKey(keyOf(A, 2))?.sandbox, 'mine');
    t.equal(table.byKey(keyOf(A, 1)), undefined, 'a key of an epoch that somebody else names opens nothing');
    t.equal(table.byConversation(CONVERSATION)?.sandbox, 'mine');
    t.equal([...table.routes()].length, 1);
    table.removeSandbox(hostile);
    t.equal(table.bySlot(A)?.sandbox, 'mine', 'who goes takes nothing with him that was not his');
    t.equal(table.byKey(keyOf(A, 2))?.sandbox, 'mine');
    table.upsertSandbox(hostile);
    changed.length = 0;
    table.removeSandbox(mine);
    t.match(table.bySlot(A), { sandbox: 'a-hostile', owner: 'mallory', address: { ip: '10.0.0.1' } });
    t.equal(table.byKey(keyOf(A, 2)), undefined);
    t.same(changed, [A], 'rights are looked at again');
    table.removeSandbox(hostile);
    t.equal([...table.routes()].length, 0);
    t.equal(table.byKey(keyOf(A, 1)), undefined);
  }
});

t.test('a conversation that another sandbox claims too', async (t) => {
  const table = createTable(SECRET);
  const has = () => table.byConversation(CONVERSATION)?.sandbox;
  const theirs = claimant(B, { name: CONVERSATION, owner: 'mallory', second: 5 });
  table.upsertSandbox(theirs);
  table.upsertSandbox(mine);
  t.equal(has(), 'mine');
  table.upsertSandbox(theirs);
  t.equal(has(), 'mine');
  const next = claimant(slotNamed('c'), { name: 'next', owner: 'alice', second: 9 });
  table.upsertSandbox(next);
  t.equal(has(), 'next', 'the newest of one owner');
  table.removeSandbox(next);
  t.equal(has(), 'mine');
  table.removeSandbox(mine);
  t.equal(has(), CONVERSATION);
  table.removeSandbox(theirs);
  t.equal(has(), undefined);
});

t.test('whose slot follows from its uid has it; else equals are told apart alike everywhere', async (t) => {
  const slot = slotOfSandbox('uid-true');
  const table = createTable(SECRET);
  table.upsertSandbox(claimant(slot, { name: 'older', owner: 'mallory', second: 0 }));
  table.upsertSandbox(claimant(slot, { name: 'true', owner: 'alice', second: 3, uid: 'uid-true' }));
  t.equal(table.bySlot(slot)?.sandbox, 'true');
  const [one, two] = ['x', 'y'].map((id) => ({ id, owner: id, createdAt: 7, isByUid: false }));
  if (one === undefined || two === undefined) throw new Error('two');
  t.equal(rightful([one, two])?.id, 'x');
  t.equal(rightful([two, one])?.id, 'x');
  t.equal(rightful([]), undefined);
});

t.test('an address that has gone to another pod is not used for the first one any more', async (t) => {
  const moved: string[] = [];
  const table = createTable(SECRET, { moved: (slot) => void moved.push(slot) });
  const at = (slot: string) => table.bySlot(slot)?.address?.ip;
  table.upsertSandbox(sandboxOf(A));
  table.upsertSandbox(sandboxOf(B));
  const old = sliceOf(A, '10.0.0.1', PORTS);
  table.upsertSlice(old);
  table.upsertSlice(sliceOf(B, '10.0.0.1', PORTS));
  t.same([at(A), at(B)], [undefined, '10.0.0.1']);
  t.ok(moved.includes(A), 'kept connections too');
  table.upsertSlice(sliceOf(A, '10.0.0.1', PORTS, false));
  t.same([at(A), at(B)], [undefined, '10.0.0.1'], 'that the old endpoint is said once more changes nothing');
  table.upsertSlice({ ...old, metadata: { name: 'moved-over', namespace: 'default' } });
  t.same([at(A), at(B)], [undefined, '10.0.0.1'], 'nor that another slice says it');
  table.upsertSlice(sliceOf(A, '10.0.0.2', PORTS));
  t.same([at(A), at(B)], ['10.0.0.2', '10.0.0.1']);
  table.upsertSlice(sliceOf(B, '10.0.0.2', PORTS));
  t.same([at(A), at(B)], [undefined, '10.0.0.2']);
  table.removeSlice(sliceOf(B, '10.0.0.2', PORTS));
  t.equal(at(B), undefined);
  table.upsertSlice(sliceOf(A, '10.0.0.3', PORTS));
  t.equal(at(A), '10.0.0.3');
  const other = { ...PORTS, agent: 9000 };
  table.upsertSlice(sliceOf(B, '10.0.0.3', other));
  t.same([at(A), at(B)], ['10.0.0.3', '10.0.0.3'], 'pods of one machine differ by their ports');
});

t.test('templates are kept while they are there or somebody refers to them', async (t) => {
  const templates = createTemplates();
  for (let at = 0; at < 50; at++) templates.drop(templates.take(`default/t${at}`));
  t.equal(templates.size(), 0);
  const rules = templates.take('default/t');
  templates.set('default/t', true);
  t.equal(rules.wakeOnRequest, true);
  templates.remove('default/t');
  t.equal(rules.wakeOnRequest, false);
  templates.set('default/t', true);
  t.equal(rules.wakeOnRequest, true, 'made again, it is the same to who refers to it');
  templates.drop(rules);
  t.equal(templates.size(), 1);
  templates.remove('default/t');
  t.equal(templates.size(), 0);
  templates.remove('default/never');
  t.equal(templates.size(), 0);
});
