/** GitHub and GitHub Enterprise Server. */
import { z } from 'zod';
import { nameIn, originOf } from './hosts.js';
import { providerFetch } from './http.js';
import type { Access, GitProvider, Repository, Task } from './types.js';

const repository = z.object({
  id: z.number(),
  full_name: z.string(),
  private: z.boolean(),
  stargazers_count: z.number().nullish(),
  pushed_at: z.string().nullish(),
  default_branch: z.string().nullish(),
  owner: z.object({ type: z.string() }).nullish(),
});
const branch = z.object({
  name: z.string(),
  commit: z.object({ sha: z.string() }),
  protected: z.boolean().default(false),
});
const account = z.object({
  id: z.number(),
  login: z.string(),
  avatar_url: z.string().default(''),
  company: z.string().nullish(),
  name: z.string().nullish(),
  email: z.string().nullish(),
});
const opened = z.object({ html_url: z.string(), number: z.number() });
const titled = { number: z.number(), title: z.string(), repository: z.object({ nameWithOwner: z.string() }) };
const pull = z.object({
  ...titled,
  mergeable: z.string().nullish(),
  commits: z.object({
    nodes: z.array(z.object({ commit: z.object({ statusCheckRollup: z.object({ state: z.string() }).nullish() }) })),
  }),
  reviewThreads: z.object({ nodes: z.array(z.object({ isResolved: z.boolean() })) }),
});
const tasksAnswer = z.object({
  data: z.object({
    viewer: z.object({ pullRequests: z.object({ nodes: z.array(pull) }) }),
    search: z.object({ nodes: z.array(z.object(titled).partial()) }),
  }),
});

const TASKS = `query {
  viewer { pullRequests(first: 50, states: OPEN, orderBy: {field: UPDATED_AT, direction: DESC}) { nodes {
    number title mergeable repository { nameWithOwner }
    commits(last: 1) { nodes { commit { statusCheckRollup { state } } } }
    reviewThreads(first: 50) { nodes { isResolved } }
  } } }
  search(query: "is:open is:issue assignee:@me archived:false", type: ISSUE, first: 50) { nodes { ... on Issue {
    number title repository { nameWithOwner }
  } } }
}`;

export function github({ token, host, dispatcher }: Access): GitProvider {
  const origin = originOf(host);
  const [rest, graphql] =
    host === 'github.com'
      ? ['https://api.github.com', 'https://api.github.com/graphql']
      : [`${origin}/api/v3`, `${origin}/api/graphql`];
  const ask = providerFetch('GitHub', dispatcher);
  const authorization = `Bearer ${token}`;
  const get = <Schema extends z.ZodType>(path: string, schema: Schema) =>
    ask({ url: `${rest}${path}`, authorization }, schema);
  const post = <Schema extends z.ZodType>(path: string, body: unknown, schema: Schema) =>
    ask({ url: `${rest}${path}`, authorization, body }, schema);
  /** The user's own and those of organisations: what a search must be told to stay among. */
  const owners = async (): Promise<string> => {
    const [{ login }, orgs] = await Promise.all([
      get('/user', account),
      get('/user/orgs?per_page=20', z.array(z.object({ login: z.string() }))),
    ]);
    return [`user:${login}`, ...orgs.map((org) => `org:${org.login}`)].join(' ');
  };
  return {
    async account() {
      const { id, login, avatar_url, company = null, name = null, email = null } = await get('/user', account);
      return { id: String(id), login, avatar_url, company, name, email };
    },
    async repositories({ query, sort, page, size }) {
      const paging = `per_page=${size}&page=${page}`;
      if (query === '') {
        const items = await get(
          `/user/repos?sort=${SORTS[sort?.split('-')[0] ?? ''] ?? 'pushed'}&${paging}`,
          z.array(repository),
        );
        return { items: items.map(shown), more: items.length === size };
      }
      const words = encodeURIComponent(`${nameIn(query)} in:name fork:true ${await owners()}`);
      const sorted =
        sort === undefined ? '' : `&sort=${sort.split('-')[0] ?? ''}&order=${sort.split('-')[1] ?? 'desc'}`;
      const answer = await get(
        `/search/repositories?q=${words}${sorted}&${paging}`,
        z.object({ items: z.array(repository) }),
      );
      return { items: answer.items.map(shown), more: answer.items.length === size };
    },
    async branches({ repository: name, query, page, size }) {
      if (query === '') {
        const found = await get(`/repos/${name}/branches?per_page=${size}&page=${page}`, z.array(branch));
        return { items: found.map(shownBranch), more: found.length === size };
      }
      // Branches that begin with the words; GitHub's REST API searches no others.
      const refs = await get(
        `/repos/${name}/git/matching-refs/heads/${encodeURIComponent(query)}?per_page=${size}`,
        z.array(z.object({ ref: z.string(), object: z.object({ sha: z.string() }) })),
      );
      const items = refs.slice(0, size).map(({ ref, object }) => ({
        name: ref.replace(/^refs\/heads\//, ''),
        commit_sha: object.sha,
        protected: false,
        last_push_date: null,
      }));
      return { items, more: false };
    },
    async tasks() {
      const { data } = await ask({ url: graphql, authorization, body: { query: TASKS } }, tasksAnswer);
      const pulls = data.viewer.pullRequests.nodes.flatMap((one) => {
        const type = typeOf(one);
        return type === undefined ? [] : [task(type, one)];
      });
      const issues = data.search.nodes.flatMap(({ number, title, repository: repo }) =>
        number === undefined || title === undefined || repo === undefined
          ? []
          : [task('OPEN_ISSUE', { number, title, repository: repo })],
      );
      return [...pulls, ...issues];
    },
    // GitHub tells installations of an app to that app's users only; a personal token has none.
    installations: () => Promise.resolve([]),
    async openPullRequest({ repository: name, source, target, title, body, draft, labels }) {
      const made = await post(`/repos/${name}/pulls`, { title, head: source, base: target, body, draft }, opened);
      // It is there: labels that the repository does not have must not make its author try again.
      if (labels.length > 0)
        await post(`/repos/${name}/issues/${made.number}/labels`, { labels }, z.unknown()).catch(() => undefined);
      return { url: made.html_url, number: made.number };
    },
  };
}

const SORTS: Record<string, string> = { updated: 'updated', stars: 'pushed', forks: 'pushed' };

const shown = (found: z.infer<typeof repository>): Repository => ({
  id: String(found.id),
  full_name: found.full_name,
  git_provider: 'github',
  is_public: !found.private,
  stargazers_count: found.stargazers_count ?? null,
  link_header: null,
  pushed_at: found.pushed_at ?? null,
  owner_type: found.owner?.type === 'Organization' ? 'organization' : 'user',
  main_branch: found.default_branch ?? null,
});

const shownBranch = (found: z.infer<typeof branch>) => ({
  name: found.name,
  commit_sha: found.commit.sha,
  protected: found.protected,
  last_push_date: null,
});

/** What a pull request of the user's waits for, the most urgent first. */
function typeOf({ mergeable, commits, reviewThreads }: z.infer<typeof pull>): string | undefined {
  if (mergeable === 'CONFLICTING') return 'MERGE_CONFLICTS';
  const state = commits.nodes[0]?.commit.statusCheckRollup?.state;
  if (state === 'FAILURE' || state === 'ERROR') return 'FAILING_CHECKS';
  return reviewThreads.nodes.some(({ isResolved }) => !isResolved) ? 'UNRESOLVED_COMMENTS' : undefined;
}

const task = (
  task_type: string,
  {
    number,
    title,
    repository: { nameWithOwner },
  }: { number: number; title: string; repository: { nameWithOwner: string } },
): Task => ({ git_provider: 'github', task_type, repo: nameWithOwner, issue_number: number, title });
