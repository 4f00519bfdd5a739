/** GitLab, gitlab.com or a company's own. */
import { z } from 'zod';
import { originOf } from './hosts.js';
import { providerFetch } from './http.js';
import type { Access, GitProvider, Repository, Task } from './types.js';

const project = z.object({
  id: z.number(),
  path_with_namespace: z.string(),
  visibility: z.string().nullish(),
  star_count: z.number().nullish(),
  last_activity_at: z.string().nullish(),
  default_branch: z.string().nullish(),
  namespace: z.object({ kind: z.string() }).nullish(),
});
const branch = z.object({
  name: z.string(),
  protected: z.boolean().default(false),
  commit: z.object({ id: z.string(), committed_date: z.string().nullish() }),
});
const account = z.object({
  id: z.number(),
  username: z.string(),
  name: z.string().nullish(),
  email: z.string().nullish(),
  avatar_url: z.string().nullish(),
  organization: z.string().nullish(),
});
const opened = z.object({ web_url: z.string(), iid: z.number() });
const titled = { iid: z.number(), title: z.string(), references: z.object({ full: z.string() }) };
const mergeRequest = z.object({
  ...titled,
  has_conflicts: z.boolean().nullish(),
  blocking_discussions_resolved: z.boolean().nullish(),
  detailed_merge_status: z.string().nullish(),
});

export function gitlab({ token, host, dispatcher }: Access): GitProvider {
  const ask = providerFetch('GitLab', dispatcher);
  const to = (path: string) => ({ url: `${originOf(host)}/api/v4${path}`, authorization: `Bearer ${token}` });
  const get = <Schema extends z.ZodType>(path: string, schema: Schema) => ask(to(path), schema);
  return {
    async account() {
      const found = await get('/user', account);
      return {
        id: String(found.id),
        login: found.username,
        avatar_url: found.avatar_url ?? '',
        company: found.organization ?? null,
        name: found.name ?? null,
        email: found.email ?? null,
      };
    },
    async repositories({ query, sort, page, size }) {
      const search = query === '' ? '' : `&search=${encodeURIComponent(query)}&search_namespaces=true`;
      const [by = 'updated', direction = 'desc'] = (sort ?? '').split('-').filter((part) => part !== '');
      const order = `order_by=${by === 'stars' ? 'star_count' : 'last_activity_at'}&sort=${direction}`;
      const found = await get(
        `/projects?membership=true&${order}&per_page=${size}&page=${page}${search}`,
        z.array(project),
      );
      return { items: found.map(shown), more: found.length === size };
    },
    async branches({ repository, query, page, size }) {
      const search = query === '' ? '' : `&search=${encodeURIComponent(query)}`;
      const at = `/projects/${encodeURIComponent(repository)}/repository/branches`;
      const found = await get(`${at}?per_page=${size}&page=${page}${search}`, z.array(branch));
      const items = found.map(({ name, protected: isProtected, commit }) => ({
        name,
        commit_sha: commit.id,
        protected: isProtected,
        last_push_date: commit.committed_date ?? null,
      }));
      return { items, more: found.length === size };
    },
    async tasks() {
      const [requests, issues] = await Promise.all([
        get('/merge_requests?scope=created_by_me&state=opened&per_page=50', z.array(mergeRequest)),
        get('/issues?scope=assigned_to_me&state=opened&per_page=50', z.array(z.object(titled))),
      ]);
      const changes = requests.flatMap((one) => {
        const type = typeOf(one);
        return type === undefined ? [] : [task(type, one)];
      });
      return [...changes, ...issues.map((one) => task('OPEN_ISSUE', one))];
    },
    installations: () => Promise.resolve([]),
    /** `repository`: its path, or its number. */
    async openPullRequest({ repository, source, target, title, body, labels }) {
      const wanted = {
        source_branch: source,
        target_branch: target,
        title,
        description: body,
        ...(labels.length === 0 ? {} : { labels: labels.join(',') }),
      };
      const at = to(`/projects/${encodeURIComponent(repository)}/merge_requests`);
      const made = await ask({ ...at, body: wanted }, opened);
      return { url: made.web_url, number: made.iid };
    },
  };
}

const shown = (found: z.infer<typeof project>): Repository => ({
  id: String(found.id),
  full_name: found.path_with_namespace,
  git_provider: 'gitlab',
  is_public: found.visibility === 'public',
  stargazers_count: found.star_count ?? null,
  link_header: null,
  pushed_at: found.last_activity_at ?? null,
  owner_type: found.namespace?.kind === 'group' ? 'organization' : 'user',
  main_branch: found.default_branch ?? null,
});

function typeOf(found: z.infer<typeof mergeRequest>): string | undefined {
  if (found.has_conflicts === true) return 'MERGE_CONFLICTS';
  if (found.detailed_merge_status === 'ci_must_pass') return 'FAILING_CHECKS';
  return found.blocking_discussions_resolved === false ? 'UNRESOLVED_COMMENTS' : undefined;
}

/** `group/name!7` and `group/name#7`. */
const task = (task_type: string, found: { iid: number; title: string; references: { full: string } }): Task => ({
  git_provider: 'gitlab',
  task_type,
  repo: found.references.full.replace(/[!#][0-9]+$/, ''),
  issue_number: found.iid,
  title: found.title,
});
