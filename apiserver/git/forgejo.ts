/** Forgejo and Gitea, codeberg.org among them. */
import { z } from 'zod';
import { nameIn, originOf } from './hosts.js';
import { providerFetch } from './http.js';
import type { Access, Branch, GitProvider, Repository, Task } from './types.js';

const repository = z.object({
  id: z.number(),
  full_name: z.string(),
  private: z.boolean(),
  stars_count: z.number().nullish(),
  updated_at: z.string().nullish(),
  default_branch: z.string().nullish(),
});
const branch = z.object({
  name: z.string(),
  commit: z.object({ id: z.string(), timestamp: z.string().nullish() }),
  protected: z.boolean().default(false),
});
const account = z.object({
  id: z.number(),
  login: z.string(),
  avatar_url: z.string().default(''),
  full_name: z.string().nullish(),
  email: z.string().nullish(),
});
const issue = z.object({ number: z.number(), title: z.string(), repository: z.object({ full_name: z.string() }) });
const opened = z.object({ html_url: z.string(), number: z.number() });

/** Branches have no search there: this many of the first pages are looked through. */
const SEARCHED_PAGES = 6;
const PAGE = 50;

export function forgejo({ token, host, dispatcher }: Access): GitProvider {
  const ask = providerFetch('Forgejo', dispatcher);
  const to = (path: string, body?: unknown) => ({
    url: `${originOf(host)}/api/v1${path}`,
    authorization: `token ${token}`,
    ...(body === undefined ? {} : { body }),
  });
  const get = <Schema extends z.ZodType>(path: string, schema: Schema) => ask(to(path), schema);
  const branchesOf = (name: string, page: number, size: number) =>
    get(`/repos/${name}/branches?limit=${size}&page=${page}`, z.array(branch));

  return {
    async account() {
      const { id, login, avatar_url, full_name, email = null } = await get('/user', account);
      return { id: String(id), login, avatar_url, company: null, name: textOrNull(full_name), email };
    },
    async repositories({ query, sort, page, size }) {
      const paging = `limit=${size}&page=${page}`;
      const [by = 'updated', order = 'desc'] = (sort ?? '').split('-').filter((part) => part !== '');
      const found =
        query === ''
          ? await get(`/user/repos?${paging}`, z.array(repository))
          : (
              await get(
                `/repos/search?q=${encodeURIComponent(nameIn(query))}&sort=${by}&order=${order}&${paging}`,
                z.object({ data: z.array(repository) }),
              )
            ).data;
      return { items: found.map(shown), more: found.length === size };
    },
    async branches({ repository: name, query, page, size }) {
      if (query === '') {
        const found = await branchesOf(name, page, size);
        return { items: found.map(shownBranch), more: found.length === size };
      }
      const matching: Branch[] = [];
      for (let at = 1; at <= SEARCHED_PAGES; at++) {
        const found = await branchesOf(name, at, PAGE);
        matching.push(...found.filter((one) => one.name.includes(query)).map(shownBranch));
        if (found.length < PAGE) break;
      }
      return { items: matching.slice((page - 1) * size, page * size), more: matching.length > page * size };
    },
    async tasks() {
      const issues = await get('/repos/issues/search?state=open&assigned=true&type=issues&limit=50', z.array(issue));
      return issues.map(taskOf);
    },
    installations: () => Promise.resolve([]),
    async openPullRequest({ repository: name, source, target, title, body }) {
      const made = await ask(to(`/repos/${name}/pulls`, { head: source, base: target, title, body }), opened);
      return { url: made.html_url, number: made.number };
    },
  };
}

const textOrNull = (text: string | null | undefined): string | null => (text == null || text === '' ? null : text);

const shown = (found: z.infer<typeof repository>): Repository => ({
  id: String(found.id),
  full_name: found.full_name,
  git_provider: 'forgejo',
  is_public: !found.private,
  stargazers_count: found.stars_count ?? null,
  link_header: null,
  pushed_at: found.updated_at ?? null,
  owner_type: null,
  main_branch: textOrNull(found.default_branch),
});

const shownBranch = ({ name, commit, protected: isProtected }: z.infer<typeof branch>): Branch => ({
  name,
  commit_sha: commit.id,
  protected: isProtected,
  last_push_date: commit.timestamp ?? null,
});

const taskOf = ({ number, title, repository: { full_name } }: z.infer<typeof issue>): Task => ({
  git_provider: 'forgejo',
  task_type: 'OPEN_ISSUE',
  repo: full_name,
  issue_number: number,
  title,
});
