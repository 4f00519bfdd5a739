import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { quote } from '../agent/bash.js';
import { applyChange, emptySettings, MASK } from '../settings/model.js';
import { conversationPayload } from './payload.js';
import {
  cloneUrlOf,
  foundIn,
  HOOK_COMMAND,
  prepareCommand,
  SETUP_COMMAND,
  workingDirOf,
  WORKSPACE,
} from './repository.js';
import { chooseSandbox, MAX_CONVERSATIONS } from './choose.js';
import { withSuggestedTask } from './first-message.js';
import { echoOf, startRequest } from './request.js';
import { promptOf, suggestedTask, TASK_TYPES } from './suggested.js';

const gateway = { form: 'host', protocol: 'http', domain: 'sandbox.localhost:3001' } as const;

t.test('what the agent server is told', async (t) => {
  const request = startRequest.parse({
    initial_message: { content: [{ type: 'text', text: 'x' }] },
    secrets: { A: 'b' },
  });
  t.same(echoOf(request).secrets, { A: MASK });
  const base = {
    conversationId: 'a'.repeat(32),
    workingDir: '/w',
    ownerId: 'local',
    request,
    settings: emptySettings(),
    secrets: { A: { value: 'b' } },
    hooks: null,
    mcp: {},
    slot: 's',
    gateway,
  };
  const payload = conversationPayload(base) as { agent: { llm: object; condenser: unknown }; conversation_id: string };
  t.match(payload, {
    conversation_id: 'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa',
    agent: {
      llm: { model: 'builtin/line-runner', usage_id: 'agent' },
      agent_context: { load_project_skills: true },
      condenser: null,
    },
    confirmation_policy: { kind: 'NeverConfirm' },
    secrets: { A: { kind: 'StaticSecret', value: 'b' } },
    autotitle: true,
  });
  t.notOk(Object.values(payload.agent.llm).includes(null), 'what is not set is not said');
  const own = applyChange(emptySettings(), {
    agent_settings_diff: { llm: { model: 'a/b' } },
    conversation_settings_diff: { confirmation_mode: true },
  });
  t.match(conversationPayload({ ...base, settings: own, request: { ...request, llm_model: 'c/d', title: 'T' } }), {
    agent: { llm: { model: 'c/d' }, condenser: { kind: 'LLMSummarizingCondenser', llm: { usage_id: 'condenser' } } },
    confirmation_policy: { kind: 'AlwaysConfirm' },
    autotitle: false,
  });
  const saved = {
    ...own,
    scalars: { max_budget_per_task: 2.5, title_llm_profile: 'small' },
    profiles: { small: { 'llm.model': 'e/f', 'llm.api_key': 'k' } },
  };
  t.match(conversationPayload({ ...base, settings: saved, request: { ...request, llm_model: 'small' } }), {
    agent: { llm: { model: 'e/f', api_key: 'k' }, include_default_tools: ['FinishTool', 'ThinkTool', 'SwitchLLMTool'] },
    max_budget_per_run: 2.5,
    title_llm_profile: 'small',
  });
  t.notOk('max_budget_per_run' in payload, 'no budget, no limit');
  t.match(conversationPayload({ ...base, request: { ...request, llm_model: 'constructor' } }), {
    agent: { llm: { model: 'constructor' } },
  });
  t.match(conversationPayload({ ...base, settings: own, request: { ...request, agent_type: 'plan' } }), {
    agent: {
      tools: [
        { name: 'glob' },
        { name: 'grep' },
        { name: 'planning_file_editor', params: { plan_path: '/w/.agents_tmp/PLAN.md' } },
      ],
      system_prompt_filename: 'system_prompt_planning.j2',
      condenser: { max_size: 100, keep_first: 6 },
    },
  });
  const plugins = [{ source: 'github:a/b', ref: 'v1', parameters: { where: 'here' } }];
  const extended = startRequest.parse({ initial_message: null, plugins });
  t.match(conversationPayload({ ...base, request: extended, hooks: { stop: [] } }), {
    plugins: [{ source: 'github:a/b', ref: 'v1', repo_path: null }],
    hook_config: { stop: [] },
    initial_message: { content: [{ text: /b:\n- where: here/ }] },
  });
  for (const wrong of [
    { selected_repository: '../x' },
    { selected_repository: '-u/x y' },
    { selected_branch: '--upload-pack=x' },
    { secrets: { 'a b': 'x' } },
    { trigger: 'me' },
  ])
    t.notOk(startRequest.safeParse(wrong).success, JSON.stringify(wrong));
});

t.test('the preparation of a workspace, run by a real shell', async (t) => {
  const root = t.testdir();
  const run = (command: string, cwd = root) =>
    execFileSync('sh', ['-c', command], {
      cwd,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env.PATH, HOME: root },
    }).toString();
  const origin = join(root, 'origin');
  mkdirSync(join(origin, '.openhands'), { recursive: true });
  writeFileSync(join(origin, '.openhands', 'setup.sh'), 'echo once >> ../set-up.log\n');
  writeFileSync(join(origin, '.openhands', 'pre-commit.sh'), '#!/bin/sh\n');
  run(`git init -q -b main && git add . && git -c user.name=a -c user.email=b commit -qm first`, origin);

  const plain = {
    dir: `${WORKSPACE}/project/one`,
    cloneUrl: null,
    login: null,
    branch: null,
    fullClone: false,
    userName: "O'Neill",
    userEmail: null,
  };
  run(prepareCommand(plain));
  run(prepareCommand(plain));
  t.equal(run('git config user.name', join(root, 'project/one')).trim(), "O'Neill");
  const clone = {
    ...plain,
    dir: `${WORKSPACE}/project/two/r`,
    cloneUrl: `file://${origin}`,
    branch: 'main',
  };
  mkdirSync(join(root, 'project/two/r'), { recursive: true });
  writeFileSync(join(root, 'project/two/r/half'), 'of an attempt that died');
  const found = foundIn(run(prepareCommand(clone)));
  const cloned = join(root, 'project/two/r');
  t.same(found, { setup: true, hook: true });
  t.notOk(existsSync(join(cloned, 'half')));
  writeFileSync(join(cloned, 'work'), 'of the agent');
  run(prepareCommand(clone));
  t.ok(existsSync(join(cloned, 'work')), 'a second time keeps what is there');
  run(SETUP_COMMAND, cloned);
  run(SETUP_COMMAND, cloned);
  t.equal(readFileSync(join(root, 'project/two/set-up.log'), 'utf8'), 'once\n');
  run(HOOK_COMMAND, cloned);
  t.ok(existsSync(join(cloned, '.git/hooks/pre-commit')));
  t.throws(() => run(prepareCommand({ ...clone, dir: `${WORKSPACE}/project/three`, branch: 'none' })));
  const repository = 'group/sub/name';
  t.equal(workingDirOf({ conversationId: 'c', repository, ownFolder: true }), '/workspace/project/c/name');
  t.equal(workingDirOf({ conversationId: 'c', repository, ownFolder: false }), '/workspace/project/name');
  t.equal(workingDirOf({ conversationId: 'c', repository: null, ownFolder: false }), '/workspace/project');
  t.equal(cloneUrlOf('a/b', 'gitlab', null), 'https://gitlab.com/a/b.git');
  t.equal(cloneUrlOf('a/b', null, 'git.example:8443'), 'https://git.example:8443/a/b.git');
  t.equal(cloneUrlOf('PROJ/b', 'bitbucket_data_center', 'bb.example'), 'https://bb.example/scm/PROJ/b.git');
  t.equal(cloneUrlOf('PROJ/b', 'bitbucket_data_center', null), undefined, 'not GitHub');
  t.equal(cloneUrlOf('org/proj/b', 'azure_devops', 'org'), 'https://dev.azure.com/org/proj/_git/b');
  t.equal(cloneUrlOf('c/proj/b', 'azure_devops', 'tfs.example/c'), 'https://tfs.example/c/proj/_git/b');
  t.equal(run(`printf %s ${quote(`a'b $(x) "`)}`), `a'b $(x) "`);
});

t.test('a suggested task becomes the first message', async (t) => {
  const suggested_task = {
    git_provider: 'gitlab',
    task_type: 'FAILING_CHECKS',
    repo: 'a/b',
    issue_number: 7,
    title: 'x',
  };
  t.match(withSuggestedTask(startRequest.parse({ suggested_task })), {
    initial_message: { run: true, content: [{ text: /merge request #7 of a\/b.*GITLAB_TOKEN/ }] },
    trigger: 'suggested_task',
    selected_repository: 'a/b',
    git_provider: 'gitlab',
  });
  t.match(withSuggestedTask(startRequest.parse({ suggested_task, selected_repository: 'c/d' })), {
    selected_repository: 'c/d',
  });
  const both = startRequest.parse({ suggested_task, initial_message: { content: [] } });
  t.throws(() => withSuggestedTask(both), /cannot be provided/);
  const prompts = TASK_TYPES.map((task_type) => promptOf(suggestedTask.parse({ ...suggested_task, task_type })));
  t.equal(new Set(prompts).size, TASK_TYPES.length);
});

t.test('which sandbox a conversation joins', async (t) => {
  const of = (id: string, hour: number, conversations: number) => ({
    id,
    createdAt: `2026-05-01T0${hour}:00:00Z`,
    conversations,
  });
  const all = [of('b', 2, 1), of('a', 1, 3), of('c', 3, 2), of('full', 4, MAX_CONVERSATIONS)];
  for (const [strategy, chosen] of [
    ['NO_GROUPING', undefined],
    ['GROUP_BY_NEWEST', 'c'],
    ['LEAST_RECENTLY_USED', 'a'],
    ['FEWEST_CONVERSATIONS', 'b'],
    ['ADD_TO_ANY', 'a'],
    ['nonsense', undefined],
  ] as const)
    t.equal(chooseSandbox(strategy, all), chosen, strategy);
  t.equal(chooseSandbox('ADD_TO_ANY', [of('full', 1, MAX_CONVERSATIONS)]), undefined);
});
