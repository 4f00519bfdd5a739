/** A conversation as clients see it: the row, the live state of its sandbox, and what the agent says right now. */
import type { Conversation } from '../db/generated/client.js';
import type { OwnedDb } from '../db/owned.js';
import type { Deps } from '../deps.js';
import { isoZ } from '../http/times.js';
import type { User } from '../identity/identity.js';
import { mayHoldKeys } from '../identity/scopes.js';
import type { ConversationInfo } from '../ingest/ingest.js';
import { metricsOf } from '../ingest/metrics.js';
import { keyOf, slotOf, statusOf } from '../sandboxes/status.js';
import { sandboxUrl } from '../../contracts/urls.js';
import type { Sandbox } from '../../contracts/resources.js';
import { launchedProfile } from '../start/launch.js';
import { defaultTitle } from '../start/title.js';

type Access = Pick<Deps, 'config' | 'directory' | 'live'>;

/** Rows to answers, in order. One live question a sandbox. */
export async function showConversations(
  deps: Access,
  db: OwnedDb,
  user: User,
  rows: Conversation[],
): Promise<Record<string, unknown>[]> {
  const wanted = rows.map(({ id, sandboxId }) => ({ id, sandbox: deps.directory.get(sandboxId) }));
  const ids = rows.map(({ id }) => id);
  const [live, children] = await Promise.all([
    deps.live.of(wanted),
    db.conversation.findMany({
      where: { parentId: { in: ids } },
      select: { id: true, parentId: true },
      orderBy: { createdAt: 'asc' },
    }),
  ]);
  return rows.map((row, index) =>
    show(row, {
      deps,
      user,
      sandbox: wanted[index]?.sandbox,
      info: live.get(row.id),
      children: children.filter(({ parentId }) => parentId === row.id).map(({ id }) => id),
    }),
  );
}

interface Context {
  deps: Access;
  user: User;
  sandbox: Sandbox | undefined;
  info: ConversationInfo | undefined;
  children: string[];
}

function show(row: Conversation, { deps, user, sandbox, info, children }: Context): Record<string, unknown> {
  const status = statusOf(sandbox);
  const open = status === 'RUNNING' && sandbox !== undefined ? sandbox : undefined;
  const slot = open === undefined ? undefined : slotOf(open);
  return {
    id: row.id,
    created_by_user_id: user.shown,
    sandbox_id: row.sandboxId,
    selected_repository: row.selectedRepository,
    selected_branch: row.selectedBranch,
    git_provider: row.gitProvider,
    title: liveTitle(row, info),
    trigger: row.trigger,
    pr_number: row.prNumber,
    llm_model: row.llmModel,
    agent_kind: row.agentKind,
    metrics: metricsOf(info?.stats) ?? row.metrics ?? NO_METRICS,
    parent_conversation_id: row.parentId,
    sub_conversation_ids: children,
    public: row.public,
    tags: row.tags,
    created_at: isoZ(row.createdAt),
    updated_at: isoZ(row.updatedAt),
    sandbox_status: status,
    execution_status: open === undefined ? null : (info?.execution_status ?? row.executionStatus),
    conversation_url:
      slot === undefined ? null : `${sandboxUrl(deps.config.gateway, slot)}/api/conversations/${row.id}`,
    session_api_key: open === undefined || !mayHoldKeys(user) ? null : (keyOf(open, deps.config.secrets[0]) ?? null),
    acp_server: null,
    launched_agent_profile: launchedProfile(row.tags),
  };
}

function liveTitle(row: Conversation, info: ConversationInfo | undefined): string {
  return row.title === defaultTitle(row.id) && info?.title != null && info.title !== ''
    ? info.title.slice(0, 200)
    : row.title;
}

const NO_METRICS = metricsOf({ usage_to_metrics: {} });
