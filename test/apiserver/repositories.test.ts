/** What a repository and its user bring to a start, against a real Kubernetes API and a real database; the agent server is a stand-in. */
import t from 'tap';
import { conversationDashed } from '../../contracts/names.js';
import { newId, openTestDatabase, operatorHand, startRig } from '../support/api-rig.js';
import { endSuite, startCluster } from '../support/cluster.js';
import { startFakeAgent } from '../support/fake-agent.js';
import { startsOf, V1, type Task } from '../support/starts.js';
import { until } from '../support/stack.js';

const cluster = await startCluster();
const db = await openTestDatabase();
const hand = operatorHand(cluster.client, cluster.namespace);
const { ended, conversationOf, named } = startsOf(hand);

t.test('what belongs to a repository: login, hooks, sub-conversations, shared sandboxes', async (t) => {
  const rig = await startRig(cluster, db);
  t.teardown(async () => {
    await rig.call('DELETE', `${V1}/secrets/git-providers`);
    await rig.call('POST', `${V1}/settings`, { sandbox_grouping_strategy: 'NO_GROUPING' });
    await rig.stop();
  });
  const github = { token: 'ghp_hush', host: '127.0.0.1:9' };
  await rig.call('POST', `${V1}/secrets/git-providers`, { provider_tokens: { github } });
  const { body: task } = await rig.call<Task>('POST', `${V1}/app-conversations`, {
    suggested_task: { git_provider: 'github', task_type: 'OPEN_ISSUE', repo: 'owner/name', issue_number: 3 },
  });
  const sandboxId = await named(rig, task);
  const agent = await startFakeAgent('');
  t.teardown(() => agent.close());
  agent.hooks = { pre_tool_use: [{ matcher: '*', hooks: [] }] };
  await until('the sandbox', () => hand.get(sandboxId));
  await hand.ready(sandboxId, agent);
  const id = (await ended(rig, task.id)).app_conversation_id ?? '';
  const uploads = agent.calls.filter(({ line }) => line === 'POST /api/file/upload');
  t.match(String(uploads[0]?.body), /ghp_hush/);
  const commands = agent.calls.filter(({ line }) => line.startsWith('POST /api/bash'));
  t.match(JSON.stringify(commands), /127\.0\.0\.1:9\/owner\/name\.git/);
  t.notMatch(JSON.stringify(commands), 'ghp_hush', 'what the sandbox keeps of commands holds no token');
  t.match(agent.conversations.get(conversationDashed(id)), {
    hook_config: agent.hooks,
    secrets: { GITHUB_TOKEN: { value: 'ghp_hush' } },
    initial_message: { run: true, content: [{ text: /issue #3 of owner\/name/ }] },
  });

  const child = await rig.call<Task>('POST', `${V1}/app-conversations`, { parent_conversation_id: id });
  const childId = (await ended(rig, child.body.id)).app_conversation_id ?? '';
  t.match(agent.conversations.get(conversationDashed(childId)), {
    workspace: { working_dir: '/workspace/project/name' },
  });
  t.match(await conversationOf(rig, childId), { sandbox_id: sandboxId, selected_repository: 'owner/name', parent_conversation_id: id }); // prettier-ignore
  t.match(await conversationOf(rig, id), { sub_conversation_ids: [childId] });
  agent.skills = [{ name: 'deploy', content: 'how to', triggers: ['ship'] }, { nonsense: true }];
  t.match(await rig.call('GET', `${V1}/app-conversations/${id}/skills`), {
    body: {
      skills: [
        { name: 'deploy', type: 'knowledge', triggers: ['ship'] },
        { name: 'work_hosts', type: 'repo' },
      ],
    },
  });
  t.match(await rig.call('GET', `${V1}/app-conversations/${id}/hooks`), {
    body: { hooks: [{ event_type: 'pre_tool_use', matchers: [{ matcher: '*', hooks: [] }] }] },
  });

  await rig.call('POST', `${V1}/settings`, { sandbox_grouping_strategy: 'GROUP_BY_NEWEST' });
  const shared = await rig.call<Task>('POST', `${V1}/app-conversations`, {});
  const joined = await ended(rig, shared.body.id);
  t.match(joined, { status: 'READY', sandbox_id: sandboxId });
  const joinedId = joined.app_conversation_id ?? '';
  t.match(agent.conversations.get(conversationDashed(joinedId)), {
    workspace: { working_dir: `/workspace/project/${joinedId}` },
  });
  t.match(await ended(rig, (await rig.call<Task>('POST', `${V1}/app-conversations`, { parent_conversation_id: newId() })).body.id), { status: 'ERROR', detail: /no conversation/ }); // prettier-ignore
});

t.test('the end', () => db.close().then(() => endSuite(cluster)));
