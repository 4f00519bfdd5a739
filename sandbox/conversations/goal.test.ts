/** Goals, through the whole server, with a scripted model behind HTTP. */
import t, { type Test } from 'tap';
import { verdictOf } from '../agent/goal.js';
import { startModel, type Turn } from '../agent/testing/model.js';
import { caller, folder, lineRunner, says, startHere, until, type Call } from '../testing/server.js';

interface Goal {
  active: boolean;
  status: string;
  iteration: number;
  objective: string;
  verdict: { missing: string } | null;
}

const verdict = (complete: boolean, missing = ''): Turn => ({
  text: JSON.stringify({ score: complete ? 1 : 0.2, complete, missing }),
});
const says_ = (text: string): Turn => ({ text });

async function open(t: Test, dir = folder(t)) {
  const model = await startModel();
  const server = await startHere(dir);
  t.teardown(async () => {
    await server.close();
    await model.close();
  });
  const call = caller(server.url);
  const llm = { model: 'openai/scripted', api_key: 'sk-scripted-key', base_url: model.url, num_retries: 0 };
  const create = async (more: Record<string, unknown> = {}) => {
    const given = lineRunner({ agent: { llm, tools: [{ name: 'terminal' }] }, ...more });
    return ((await call('POST', '/api/conversations', given)).body as { id: string }).id;
  };
  return { model, server, call, create };
}

async function goals(call: Call, id: string): Promise<Goal[]> {
  const answer = await call(
    'GET',
    `/api/conversations/${id}/events/search?kind=ConversationStateUpdateEvent&limit=100`,
  );
  const { items } = answer.body as { items: { key: string; value: Goal }[] };
  return items.filter(({ key }) => key === 'goal').map(({ value }) => value);
}
const ended = (call: Call, id: string) => until(() => goals(call, id), (all) => all.at(-1)?.active === false); // prettier-ignore

t.test('the agent is sent back until the judge is content', async (t) => {
  const { model, call, create } = await open(t);
  model.script(says_('I did it.'), verdict(false, 'the tests of hush-hush'), says_('They pass.'), verdict(true));
  const id = await create({ secrets: { TOKEN: 'hush-hush' } });
  t.same((await call('POST', `/api/conversations/${id}/goal`, { objective: 'Make hush-hush work' })).body, { success: true }); // prettier-ignore
  const all = await ended(call, id);
  t.match(all.map(({ status, iteration }) => [status, iteration]), [['running', 0], ['running', 1], ['complete', 2]]); // prettier-ignore
  t.match(all[1]?.verdict, { missing: 'the tests of <secret-hidden>' });
  t.equal(all[2]?.objective, 'Make <secret-hidden> work');
  t.match(JSON.stringify(model.requests[1]?.messages), /I did it/, 'the judge reads the history');
  t.match(JSON.stringify(model.requests[2]?.messages), /What is missing: the tests/, 'the agent reads what is missing');
  const info = (await call('GET', `/api/conversations/${id}`)).body;
  t.match(info, { execution_status: 'finished', stats: { usage_to_metrics: { 'goal-judge': {} } } });
});

t.test('rounds are bounded; what is stopped or spoken to is left, and resumed', async (t) => {
  const { model, call, create } = await open(t);
  let open_: () => void = () => undefined;
  const hold = new Promise<void>((resolve) => (open_ = resolve));
  model.script(says_('a'), verdict(false, 'x'), { text: 'b', hold }, says_('c'), verdict(false, 'y'));
  const id = await create();
  const post = (path: string, body?: unknown) => call('POST', `/api/conversations/${id}${path}`, body);
  t.equal((await post('/goal', { objective: ' ' })).status, 422);
  t.equal((await post('/goal', { objective: 'x', max_iterations: 0 })).status, 422);
  t.equal((await post('/goal/resume')).status, 400, 'there is none');

  await post('/goal', { objective: 'Do', max_iterations: 2 });
  await until(async () => model.requests.length, (count) => count === 3); // prettier-ignore
  t.equal((await post('/goal', { objective: 'Do' })).status, 409);
  t.same((await post('/goal/stop')).body, { success: true });
  t.match((await goals(call, id)).at(-1), { active: false, status: 'interrupted', iteration: 1 });
  open_();
  await until(() => call('GET', `/api/conversations/${id}`), ({ body }) => (body as { execution_status: string }).execution_status === 'finished'); // prettier-ignore
  t.same((await post('/goal/stop')).body, { success: true }, 'twice does no harm');

  await post('/goal/resume');
  const all = await ended(call, id);
  t.match(all.at(-1), { status: 'capped', iteration: 2, verdict: { missing: 'y' } });
  t.equal((await post('/goal/resume')).status, 400, 'it is over');
});

t.test('a message of the user ends the goal; a judge that fails is told', async (t) => {
  const { model, call, create } = await open(t);
  let open_: () => void = () => undefined;
  const hold = new Promise<void>((resolve) => (open_ = resolve));
  model.script({ text: 'a', hold }, says_('b'));
  const id = await create();
  await call('POST', `/api/conversations/${id}/goal`, { objective: 'Do' });
  await until(async () => model.requests.length, (count) => count === 1); // prettier-ignore
  const spoken = call('POST', `/api/conversations/${id}/events`, says('Something else'));
  await ended(call, id);
  open_();
  await spoken;
  t.match((await goals(call, id)).at(-1), { status: 'interrupted', iteration: 0 });

  // The second answer is taken before others are scripted.
  await until(async () => model.requests.length, (count) => count === 2); // prettier-ignore
  const other = await create();
  model.script(says_('a'), { error: { status: 400, message: 'no judge sk-scripted-key' } });
  await call('POST', `/api/conversations/${other}/goal`, { objective: 'Do' });
  t.match((await ended(call, other)).at(-1), { status: 'interrupted' });
  const errors = await call('GET', `/api/conversations/${other}/events/search?kind=ConversationErrorEvent`);
  t.match(errors.body, { items: [{ detail: /The goal is not pursued any more: / }] });
  t.notMatch(JSON.stringify(errors.body), 'sk-scripted-key');

  const bare = (await call('POST', '/api/conversations', lineRunner())).body as { id: string };
  const refused = await call('POST', `/api/conversations/${bare.id}/goal`, { objective: 'Do' });
  t.equal(refused.status, 400);
  t.match(refused.body, { detail: /needs a model/ });
});

t.test('a goal outlives the server', async (t) => {
  const dir = folder(t);
  const first = await open(t, dir);
  first.model.script({ text: 'a', hold: new Promise(() => undefined) });
  const id = await first.create();
  await first.call('POST', `/api/conversations/${id}/goal`, { objective: 'Do' });
  await until(async () => first.model.requests.length, (count) => count === 1); // prettier-ignore
  await first.server.close();

  const next = await startHere(dir);
  t.teardown(() => next.close());
  const call = caller(next.url);
  t.match((await ended(call, id)).at(-1), { status: 'interrupted' });
  first.model.script({ text: 'b' }, verdict(true));
  await call('POST', `/api/conversations/${id}/goal/resume`);
  await until(() => goals(call, id), (all) => all.at(-1)?.status === 'complete'); // prettier-ignore
});

t.test('verdicts', (t) => {
  const bad = { score: 0, complete: false, missing: 'The verdict could not be read.' };
  t.same(verdictOf('Here: {"score": 7, "complete": true, "missing": ""} ok'), {
    score: 1,
    complete: true,
    missing: '',
  });
  t.same(verdictOf('{"score": "0.5"}'), { score: 0.5, complete: false, missing: '' });
  for (const words of ['', 'yes', '{', '[1]', '{"a": }']) t.same(verdictOf(words), bad, words);
  t.end();
});
