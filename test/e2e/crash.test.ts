/**
 * kill -9 of any program at any point of the main job, then its restart, ends in the same state with no event lost.
 * "Any point": each round kills one program at a later moment of the same job, from the request on to the last line.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import {
  ask,
  askAgent,
  conversationOf,
  history,
  running,
  type Conversation,
  type WireEvent,
} from '../support/client.js';
import { askKube, childrenOf, listKube, processesOf } from '../support/machine.js';
import { freePorts, newDataFolder, removeFolder, startStack, until, type Stack } from '../support/stack.js';

/** Long enough that a kill at any of the moments below meets it at work; every line leaves a mark that can be counted. */
const LINES = Array.from({ length: 8 }, (_, line) => `echo mark-${line} | tee -a marks.txt; sleep 0.15`).join('\n');

/** Milliseconds after the request at which the program is killed: creating, claiming, starting, running, near the end. */
const MOMENTS = [0, 60, 200, 450, 900, 1500];

t.test('programs killed at any point come back to the same state', { timeout: 600_000 }, async (t) => {
  const data = await newDataFolder();
  const stack = await startStack({ data });
  t.teardown(async () => {
    await stack.stop();
    await removeFolder(data);
  });
  for (const program of ['operator', 'gateway', 'apiserver']) {
    await t.test(program, async (t) => {
      for (const moment of MOMENTS) {
        const id = await startThen(stack, async () => {
          await sleep(moment);
          killProgram(t, stack, program);
        });
        await checkWhole(t, stack, id, `${program} killed after ${moment} ms`);
        await ask(`${stack.api}/api/v1/app-conversations/${id}`, { method: 'DELETE' });
      }
    });
  }
});

t.test('the agent server killed in its work says so, and goes on when told', { timeout: 200_000 }, async (t) => {
  const data = await newDataFolder();
  const stack = await startStack({ data });
  t.teardown(async () => {
    await stack.stop();
    await removeFolder(data);
  });
  const id = await startThen(stack, () => Promise.resolve());
  const before = await running(stack, id);
  await until('the first marks', async () =>
    (await eventsOf(before)).some((event) => outputOf(event).includes('mark-1')),
  );
  const acknowledged = await eventsOf(before);
  const { slot } = (await askKube<{ status: { slot: string } }>(stack, sandboxPath(before.sandbox_id))).body.status;
  killAll(processesOf(slot));

  const after = await until('the run to be marked as broken off', async () => {
    const conversation = await conversationOf(stack, id);
    return conversation?.execution_status === 'error' ? conversation : undefined;
  });
  t.same(lost(acknowledged, await eventsOf(after)), [], 'nothing that was acknowledged is lost');
  t.equal((await askAgent(after, `/api/conversations/${id}/run`, { method: 'POST', body: {} })).status, 200);
  await until('the run to end', async () => (await conversationOf(stack, id))?.execution_status === 'finished');
  await sameStored(t, stack, id, 'after the kill');
});

t.test('everything killed at once', { timeout: 200_000 }, async (t) => {
  const data = await newDataFolder();
  const ports = await freePorts();
  let stack = await startStack({ data, ports });
  t.teardown(async () => {
    await stack.stop();
    await removeFolder(data);
  });
  const id = await startThen(stack, () => Promise.resolve());
  await checkWhole(t, stack, id, 'before');
  const before = await history(stack, id);
  await stack.kill();
  stack = await startStack({ data, ports });
  const after = await running(stack, id);
  t.same(lost(before, await history(stack, id)), [], 'history is whole');
  t.same(lost(before, await eventsOf(after)), [], "and so is the agent server's");
  const slots = (await listKube(stack, '/api/v1/namespaces/default/pods')).map((pod) => pod.metadata.name);
  for (const slot of slots) t.ok(processesOf(slot).length > 0, `pod ${slot} runs again`);
});

/** Posts the job and does `meanwhile` beside it; an unanswered POST is repeated with the same conversation id, as a client would. */
async function startThen(stack: Stack, meanwhile: () => Promise<void>): Promise<string> {
  const id = crypto.randomUUID().replaceAll('-', '');
  const body = {
    conversation_id: id,
    initial_message: { role: 'user', content: [{ type: 'text', text: LINES }], run: true },
  };
  const post = async () => {
    const answer = await ask(`${stack.api}/api/v1/app-conversations`, { method: 'POST', body });
    if (answer.status !== 200) throw new Error(`${answer.status} ${answer.text}`);
    return true;
  };
  await Promise.all([
    meanwhile(),
    until('the request to be accepted', async () => {
      if ((await conversationOf(stack, id)) !== null || (await startTaskOf(stack, id))) return true;
      return await post();
    }),
  ]);
  return id;
}

async function startTaskOf(stack: Stack, id: string): Promise<boolean> {
  const tasks = await ask<{ items: unknown[] }>(
    `${stack.api}/api/v1/app-conversations/start-tasks/search?conversation_id__eq=${id}`,
  );
  return tasks.body.items.length > 0;
}

function killProgram(t: Test, stack: Stack, program: string): void {
  const pids = childrenOf(stack.pid, program);
  t.ok(pids.length > 0, `${program} runs`);
  killAll(pids);
}

/** A process that another's end takes along may be gone before its turn. */
function killAll(pids: number[]): void {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}

async function checkWhole(t: Test, stack: Stack, id: string, when: string): Promise<void> {
  const conversation = await until(`the job to finish (${when})`, async () => {
    const found = await conversationOf(stack, id);
    return found?.execution_status === 'finished' ? found : undefined;
  });
  const events = await eventsOf(conversation);
  const marks = events.flatMap((event) =>
    event.kind === 'ObservationEvent' && event.tool_name === 'terminal'
      ? [outputOf(event).match(/mark-\d+/g) ?? []].flat()
      : [],
  );
  t.same(marks, LINES.match(/mark-\d+/g), `every line ran once, in order (${when})`);
  await sameStored(t, stack, id, when);
  const sandboxes = (await listKube(stack, '/apis/sandlot.dev/v1alpha1/namespaces/default/sandboxes')).filter(
    (sandbox) => sandbox.metadata.name === conversation.sandbox_id,
  );
  t.equal(sandboxes.length, 1, 'one sandbox');
  const pods = (await listKube(stack, '/api/v1/namespaces/default/pods')).filter(
    (pod) => pod.metadata.labels?.['sandlot.dev/sandbox'] === conversation.sandbox_id,
  );
  t.equal(pods.length, 1, 'one pod');
}

/** What the API server has stored becomes what the agent server has: nothing lost, nothing twice, in order. */
async function sameStored(t: Test, stack: Stack, id: string, when: string): Promise<void> {
  const conversation = await running(stack, id);
  const produced = (await eventsOf(conversation)).map((event) => event.id);
  await until(
    `the API server to have all ${produced.length} events (${when})`,
    async () => {
      const stored = new Set((await history(stack, id)).map((event) => event.id));
      return produced.every((event) => stored.has(event));
    },
    60_000,
  );
  const stored = (await history(stack, id)).map((event) => event.id);
  t.equal(new Set(stored).size, stored.length, `nothing is stored twice (${when})`);
  const known = new Set(produced);
  t.same(
    stored.filter((event) => known.has(event)),
    produced,
    `order is kept (${when})`,
  );
}

/** The agent server's own events. A client asks again while the gateway comes back or the sandbox is not ready yet. */
async function eventsOf(conversation: Conversation): Promise<WireEvent[]> {
  const events: WireEvent[] = [];
  let page: string | null = '';
  while (page !== null) {
    const from: string = page === '' ? '' : `&page_id=${page}`;
    const path = `/api/conversations/${conversation.id}/events/search?limit=100${from}`;
    const body: EventPage = await until('a page of events', async () => {
      const answer = await askAgent<EventPage>(conversation, path);
      if (answer.status !== 200) throw new Error(`${answer.status} ${answer.text}`);
      return answer.body;
    });
    events.push(...body.items);
    page = body.next_page_id;
  }
  return events;
}

interface EventPage {
  items: WireEvent[];
  next_page_id: string | null;
}

const lost = (earlier: WireEvent[], later: WireEvent[]) => {
  const ids = new Set(later.map((event) => event.id));
  return earlier
    .filter((event) => event.key !== 'full_state' && !ids.has(event.id))
    .map((event) => `${event.kind} ${event.id}`);
};
const outputOf = (event: WireEvent) => (event.observation?.content ?? []).map((part) => part.text ?? '').join('');
const sandboxPath = (id: string) => `/apis/sandlot.dev/v1alpha1/namespaces/default/sandboxes/${id}`;
