/** Bitbucket Data Center, on a company's own host. The token is an HTTP access token, or `user:token`. */
import { z } from 'zod';
import { nameIn, originOf } from './hosts.js';
import { providerFetch } from './http.js';
import type { Access, GitProvider, Place, Repository, Task } from './types.js';

const project = z.object({ key: z.string(), type: z.string().nullish() });
const repository = z.object({
  id: z.number(),
  slug: z.string(),
  project,
  public: z.boolean().default(false),
});
const branch = z.object({ displayId: z.string(), latestCommit: z.string() });
const pull = z.object({
  id: z.number(),
  title: z.string(),
  properties: z
    .object({ mergeResult: z.object({ outcome: z.string() }).nullish(), openTaskCount: z.number().nullish() })
    .nullish(),
  toRef: z.object({ repository: z.object({ slug: z.string(), project }) }),
});
const account = z.object({
  id: z.number(),
  name: z.string(),
  displayName: z.string().nullish(),
  emailAddress: z.string().nullish(),
});
const opened = z.object({ id: z.number(), links: z.object({ self: z.array(z.object({ href: z.string() })).min(1) }) });
const pageOf = <Item extends z.ZodType>(item: Item) =>
  z.object({ values: z.array(item), isLastPage: z.boolean().default(true) });

export function bitbucketDataCenter({ token, host, dispatcher }: Access): GitProvider {
  const ask = providerFetch('Bitbucket Data Center', dispatcher);
  const [user] = token.includes(':') ? token.split(':') : [];
  const authorization = user === undefined ? `Bearer ${token}` : `Basic ${Buffer.from(token).toString('base64')}`;
  const to = (path: string, body?: unknown) => ({
    url: `${originOf(host)}/rest/api/1.0${path}`,
    authorization,
    ...(body === undefined ? {} : { body }),
  });
  const page = async <Item extends z.ZodType>(path: string, item: Item) => {
    const { values, isLastPage } = await ask(to(path), pageOf(item));
    return { items: values, more: !isLastPage };
  };

  return {
    async account() {
      // An access token speaks for a project or repository too, and does not say whose it is: asking shows that it is good.
      if (user === undefined) {
        await page('/repos?limit=1', repository);
        return { id: '', login: '', avatar_url: '', company: null, name: null, email: null };
      }
      const { items } = await page(`/users?filter=${encodeURIComponent(user)}&limit=25`, account);
      const found = items.find(({ name }) => name === user);
      return {
        id: String(found?.id ?? user),
        login: user,
        avatar_url: '',
        company: null,
        name: found?.displayName ?? null,
        email: found?.emailAddress ?? null,
      };
    },
    async repositories({ query, ...place }) {
      const search = query === '' ? '' : `&name=${encodeURIComponent(nameIn(query))}`;
      const { items, more } = await page(`/repos?permission=REPO_READ&${paging(place)}${search}`, repository);
      return { items: items.map(shown), more };
    },
    async branches({ repository: name, query, ...place }) {
      const search = query === '' ? '' : `&filterText=${encodeURIComponent(query)}`;
      const { items, more } = await page(
        `${pathOf(name)}/branches?orderBy=MODIFICATION&${paging(place)}${search}`,
        branch,
      );
      const shownBranch = ({ displayId, latestCommit }: z.infer<typeof branch>) => ({
        name: displayId,
        commit_sha: latestCommit,
        protected: false,
        last_push_date: null,
      });
      return { items: items.map(shownBranch), more };
    },
    async tasks() {
      const { items } = await page('/dashboard/pull-requests?role=AUTHOR&state=OPEN&limit=50', pull);
      return items.flatMap(taskOf);
    },
    installations: () => Promise.resolve([]),
    async openPullRequest({ repository: name, source, target, title, body }) {
      const [key = '', slug = ''] = name.split('/').slice(-2);
      const ref = (branchName: string) => ({
        id: `refs/heads/${branchName}`,
        repository: { slug, project: { key } },
      });
      const wanted = { title, description: body, fromRef: ref(source), toRef: ref(target) };
      const made = await ask(to(`${pathOf(name)}/pull-requests`, wanted), opened);
      return { url: made.links.self[0]?.href ?? '', number: made.id };
    },
  };
}

/** `PROJECT/slug`. */
function pathOf(name: string): string {
  const [key = '', slug = ''] = name.split('/').slice(-2);
  return `/projects/${encodeURIComponent(key)}/repos/${encodeURIComponent(slug)}`;
}

const paging = ({ page, size }: Place): string => `start=${(page - 1) * size}&limit=${size}`;

const shown = ({ id, slug, project: { key, type }, public: isPublic }: z.infer<typeof repository>): Repository => ({
  id: String(id),
  full_name: `${key}/${slug}`,
  git_provider: 'bitbucket_data_center',
  is_public: isPublic,
  stargazers_count: null,
  link_header: null,
  pushed_at: null,
  owner_type: type === 'PERSONAL' ? 'user' : 'organization',
  main_branch: null,
});

function taskOf({ id, title, properties, toRef }: z.infer<typeof pull>): Task[] {
  const conflicted = properties?.mergeResult?.outcome === 'CONFLICTED';
  if (!conflicted && (properties?.openTaskCount ?? 0) === 0) return [];
  const { slug, project: of } = toRef.repository;
  return [
    {
      git_provider: 'bitbucket_data_center',
      task_type: conflicted ? 'MERGE_CONFLICTS' : 'UNRESOLVED_COMMENTS',
      repo: `${of.key}/${slug}`,
      issue_number: id,
      title,
    },
  ];
}
