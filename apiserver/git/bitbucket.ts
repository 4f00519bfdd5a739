/** Bitbucket Cloud. The token is an access token, or `user:app password`. */
import { z } from 'zod';
import { originOf } from './hosts.js';
import { providerFetch } from './http.js';
import type { Access, GitProvider } from './types.js';

const repository = z.object({
  uuid: z.string(),
  full_name: z.string(),
  is_private: z.boolean(),
  updated_on: z.string().nullish(),
  mainbranch: z.object({ name: z.string() }).nullish(),
  owner: z.object({ type: z.string() }).nullish(),
});
const branch = z.object({ name: z.string(), target: z.object({ hash: z.string(), date: z.string().nullish() }) });
const account = z.object({
  uuid: z.string(),
  username: z.string().nullish(),
  nickname: z.string().nullish(),
  display_name: z.string().nullish(),
  links: z.object({ avatar: z.object({ href: z.string() }).nullish() }).nullish(),
});
const opened = z.object({ id: z.number(), links: z.object({ html: z.object({ href: z.string() }) }) });
const pageOf = <Item extends z.ZodType>(item: Item) => z.object({ values: z.array(item), next: z.string().nullish() });

export function bitbucket({ token, host, dispatcher }: Access): GitProvider {
  const base = host === 'bitbucket.org' ? 'https://api.bitbucket.org/2.0' : `${originOf(host)}/2.0`;
  const authorization = token.includes(':') ? `Basic ${Buffer.from(token).toString('base64')}` : `Bearer ${token}`;
  const ask = providerFetch('Bitbucket', dispatcher);
  const get = <Schema extends z.ZodType>(path: string, schema: Schema) =>
    ask({ url: `${base}${path}`, authorization }, schema);
  return {
    async account() {
      const { uuid, username, nickname, display_name, links } = await get('/user', account);
      return {
        id: uuid,
        login: username ?? nickname ?? uuid,
        avatar_url: links?.avatar?.href ?? '',
        company: null,
        name: display_name ?? null,
        email: null,
      };
    },
    async repositories({ query, sort, page, size }) {
      const filter = query === '' ? '' : `&q=${encodeURIComponent(`name~${quoted(query)}`)}`;
      const order = sort?.endsWith('-asc') === true ? 'updated_on' : '-updated_on';
      const found = await get(
        `/repositories?role=member&sort=${order}&pagelen=${size}&page=${page}${filter}`,
        pageOf(repository),
      );
      const items = found.values.map((one) => ({
        id: one.uuid,
        full_name: one.full_name,
        git_provider: 'bitbucket',
        is_public: !one.is_private,
        stargazers_count: null,
        link_header: null,
        pushed_at: one.updated_on ?? null,
        owner_type: one.owner?.type === 'team' ? ('organization' as const) : ('user' as const),
        main_branch: one.mainbranch?.name ?? null,
      }));
      return { items, more: found.next != null };
    },
    async branches({ repository: name, query, page, size }) {
      const filter = query === '' ? '' : `&q=${encodeURIComponent(`name~${quoted(query)}`)}`;
      const found = await get(
        `/repositories/${name}/refs/branches?sort=-target.date&pagelen=${size}&page=${page}${filter}`,
        pageOf(branch),
      );
      const items = found.values.map((one) => ({
        name: one.name,
        commit_sha: one.target.hash,
        protected: false,
        last_push_date: one.target.date ?? null,
      }));
      return { items, more: found.next != null };
    },
    // Bitbucket lists neither conflicts nor failed builds across repositories.
    tasks: () => Promise.resolve([]),
    async installations() {
      const found = await get('/workspaces?pagelen=100', pageOf(z.object({ slug: z.string() })));
      return found.values.map(({ slug }) => slug);
    },
    async openPullRequest({ repository: name, source, target, title, body }) {
      const wanted = {
        title,
        description: body,
        source: { branch: { name: source } },
        destination: { branch: { name: target } },
      };
      const made = await ask({ url: `${base}/repositories/${name}/pullrequests`, authorization, body: wanted }, opened);
      return { url: made.links.html.href, number: made.id };
    },
  };
}

/** A string of Bitbucket's query language. */
const quoted = (text: string): string => `"${text.replace(/["\\]/g, '\\$&')}"`;
