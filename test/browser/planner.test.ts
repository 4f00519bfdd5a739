/** The Plan mode in a real Chromium against the real programs: a planner is asked, its plan is shown, the agent is told to build it. */
import t from 'tap';
import { openStack, picture, withoutChromium } from '../support/browser.js';
import { ask, conversationOf, converse, finished } from '../support/client.js';
import { BUILT, PLAN_READY, PLANNED, startPlanningModel } from '../support/planning-model.js';

t.setTimeout(180_000);
t.test('Plan mode', { skip: withoutChromium, timeout: 180_000 }, async (t) => {
  const { stack, browser } = await openStack(t);
  const model = await startPlanningModel();
  t.teardown(() => model.close());
  const llm = { model: 'openai/planning', base_url: model.url, api_key: 'sk-test' };
  await ask(`${stack.api}/api/v1/settings`, { method: 'POST', body: { agent_settings_diff: { llm } } });
  const { id } = await converse(stack, 'Look around.');
  await finished(stack, id);
  const page = await (await browser.newContext({ viewport: { width: 1400, height: 900 } })).newPage();
  page.setDefaultTimeout(30_000);
  const chat = page.getByRole('log');
  await page.goto(`${stack.api}/conversations/${id}`);

  await t.test('the first message makes a planner in the same sandbox', async (t) => {
    await page.getByRole('radio', { name: 'Plan' }).check();
    await page.getByLabel('What should be planned?').fill('Greet whoever comes.');
    await picture(page, 'plan-mode');
    await page.getByRole('button', { name: 'Plan', exact: true }).click();
    await chat.getByText(PLAN_READY).waitFor();
    await page.getByRole('tabpanel').getByText(PLANNED).waitFor();
    await picture(page, 'plan-written');
    const parent = (await conversationOf(stack, id)) as { sandbox_id: string; sub_conversation_ids?: string[] };
    const [planner = ''] = parent.sub_conversation_ids ?? [];
    t.match(await conversationOf(stack, planner), { sandbox_id: parent.sandbox_id, parent_conversation_id: id });
  });

  await t.test('what is said next goes to the planner; the agent has its own chat', async (t) => {
    await page.getByLabel('Message to the agent').fill('And again.');
    await page.keyboard.press('Enter');
    await chat.getByText('And again.').waitFor();
    await page.getByRole('radio', { name: 'Code' }).check();
    await chat.getByText('Look around.').waitFor();
    t.equal(await chat.getByText('And again.').count(), 0);
  });

  await t.test('the agent is told to build it', async (t) => {
    await page.getByRole('button', { name: 'Build this plan' }).click();
    await chat.getByText('Carry out the plan in .agents_tmp/PLAN.md.').waitFor();
    await chat.getByText(BUILT).nth(1).waitFor();
    await picture(page, 'plan-built');
    t.pass('it answers');
  });

  await t.test('after a reload the planner is still there', async (t) => {
    await page.reload();
    await page.getByRole('radio', { name: 'Plan' }).check();
    await chat.getByText(PLAN_READY).first().waitFor();
    t.pass('its history is shown');
  });
});
