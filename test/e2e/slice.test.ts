/**
 * The main job with the real programs, from outside: start, converse, follow, serve an app, pause, resume, delete.
 * Needs nothing but Node: the built-in line runner does the work, on the one-machine cluster.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import {
  ask,
  askAgent,
  browse,
  conversationOf,
  converse,
  finished,
  follow,
  history,
  running,
  type WireEvent,
} from '../support/client.js';
import { askKube, listKube, processesOf } from '../support/machine.js';
import { freePorts, newDataFolder, removeFolder, startStack, until } from '../support/stack.js';

/** A web app that answers with a file of the workspace, as an agent would write and start one. */
const APP = `cat > app.mjs <<'EOF'
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
createServer((request, response) => response.end('<h1>' + readFileSync('greeting.txt', 'utf8') + '</h1>')).listen(process.env.WORKER_1);
EOF
echo -n "made by the agent" > greeting.txt
node app.mjs > app.log 2>&1 &
sleep 1; echo started`;

const PODS = '/api/v1/namespaces/default/pods';
const CLAIMS = '/api/v1/namespaces/default/persistentvolumeclaims';
const SECRETS = '/api/v1/namespaces/default/secrets';
const SANDBOXES = '/apis/sandlot.dev/v1alpha1/namespaces/default/sandboxes';

t.test('one command runs a conversation end to end', { timeout: 240_000 }, async (t) => {
  const data = await newDataFolder();
  const ports = await freePorts();
  let stack = await startStack({ data, ports });
  t.teardown(async () => {
    await stack.stop();
    await removeFolder(data);
  });

  t.match(stack.output(), stack.kubeconfig, 'the kubeconfig is named');
  t.match(stack.output(), /curl .*\n/, 'a curl line to try');
  t.match(stack.output(), /kubectl .*\n/, 'a kubectl line to try');
  t.match(stack.output(), /isolat/i, 'and that process pods are not isolated');

  const conversation = await converse(stack, APP);
  const { id, sandbox_id: sandboxId } = conversation;
  const following = await follow(conversation);
  const observation = await following.first('output of the app start', (event) => outputOf(event).includes('started'));
  t.equal(observation.observation?.exit_code, 0);
  await finished(stack, id);
  const kinds = kindsOf(following.events);
  t.same(kinds.slice(0, 2), ['SystemPromptEvent', 'MessageEvent'], 'the run begins with the message');
  const counts = ['ActionEvent', 'ObservationEvent'].map((kind) => kinds.filter((other) => other === kind).length);
  t.ok((counts[0] ?? 0) > 1 && counts[0] === counts[1], 'each action has its result');
  const ids = stored(following.events).map((event) => event.id);
  t.equal(new Set(ids).size, ids.length, 'no event comes twice');

  const page = await browse(stack, sandboxId, 'worker-1', '/');
  t.same([page.status, page.text], [200, '<h1>made by the agent</h1>'], 'the app answers through the gateway');

  const sandbox = (await askKube<{ status: { slot: string } }>(stack, `${SANDBOXES}/${sandboxId}`)).body;
  const { slot } = sandbox.status;
  t.ok(processesOf(slot).length > 0, 'the pod is a process');

  await t.test('pause: the process is gone, files and history stay', async (t) => {
    following.close();
    t.equal((await ask(`${stack.api}/api/v1/sandboxes/${sandboxId}/pause`, { method: 'POST', body: {} })).status, 200);
    await until('the pause', async () => (await conversationOf(stack, id))?.sandbox_status === 'PAUSED');
    t.same(processesOf(slot), [], 'no process of the pod, the app included');
    t.notOk(
      (await listKube(stack, PODS)).some((pod) => pod.metadata.name === slot),
      'no pod',
    );
    t.ok(
      (await listKube(stack, CLAIMS)).some((claim) => claim.metadata.name.startsWith(slot)),
      'the workspace claim is kept',
    );
    t.same(kindsOf(await history(stack, id)), kindsOf(following.events), 'history is whole and readable');
    t.equal((await askAgent(conversation, '/api/conversations/search')).status, 503, 'the gateway says that it sleeps');
  });

  await t.test('resume: same files, same history, new key, old key refused', async (t) => {
    t.equal((await ask(`${stack.api}/api/v1/sandboxes/${sandboxId}/resume`, { method: 'POST', body: {} })).status, 200);
    const resumed = await running(stack, id);
    t.not(resumed.session_api_key, conversation.session_api_key, 'a new key');
    t.equal(resumed.conversation_url, conversation.conversation_url, 'at the same address');
    t.equal(
      (await askAgent({ ...resumed, session_api_key: conversation.session_api_key }, '/api/conversations/search'))
        .status,
      401,
      'the old key is dead',
    );
    const file = await askAgent(resumed, '/api/file/download?path=/workspace/project/greeting.txt');
    t.same([file.status, file.text], [200, 'made by the agent'], 'the same files');

    const again = await follow(resumed);
    const known = new Set(following.events.map((event) => event.id));
    await again.first('the replay', (event) => event.id === stored(following.events).at(-1)?.id);
    t.same(
      stored(again.events).filter((event) => event.kind !== 'ConversationStateUpdateEvent' && !known.has(event.id)),
      [],
      'the same history',
    );
    again.send('cat greeting.txt');
    await again.first('an answer after the resume', (event) => outputOf(event) === 'made by the agent');
    again.close();
    await finished(stack, id);
  });

  await t.test('a restart of everything finds the conversation', async (t) => {
    t.equal(await stack.stop(), 0, 'Ctrl-C ends it cleanly');
    t.same(processesOf(data), [], 'and leaves no process');
    stack = await startStack({ data, ports });
    t.ok(await running(stack, id), 'the earlier conversation is back');
    t.ok(
      (await history(stack, id)).some((event) => outputOf(event) === 'made by the agent'),
      'with its history',
    );
  });

  await t.test('delete: nothing left', async (t) => {
    t.equal((await ask(`${stack.api}/api/v1/app-conversations/${id}`, { method: 'DELETE' })).status, 200);
    await until('the sandbox to go', async () => (await askKube(stack, `${SANDBOXES}/${sandboxId}`)).status === 404);
    const left = async () => {
      const objects = (await Promise.all([PODS, CLAIMS, SECRETS].map((path) => listKube(stack, path)))).flat();
      return objects.map((object) => object.metadata.name).filter((name) => name.startsWith(slot));
    };
    await until('its objects to go', async () => (await left()).length === 0);
    await until('its processes to go', async () => processesOf(slot).length === 0);
    await until(
      'its folder to go',
      async () => !readdirSync(join(data, 'volumes')).some((name) => name.startsWith(slot)),
    );
    t.equal(await conversationOf(stack, id), null);
    t.equal((await askAgent(conversation, '/alive')).status, 404, 'the gateway knows no such sandbox');
  });
});

/** Without what is made anew for each connection. */
function stored(events: WireEvent[]): WireEvent[] {
  return events.filter((event) => event.key !== 'full_state' && event.kind !== 'StreamingDeltaEvent');
}

function kindsOf(events: WireEvent[]): string[] {
  return stored(events)
    .map((event) => event.kind)
    .filter((kind) => kind !== 'ConversationStateUpdateEvent');
}

function outputOf(event: WireEvent): string {
  return (event.observation?.content ?? []).map((part) => part.text ?? '').join('');
}
