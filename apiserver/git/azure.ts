/** Azure DevOps Services and Server. Repositories are named `organization/project/repository`. */
import { z } from 'zod';
import { originOf } from './hosts.js';
import { providerFetch } from './http.js';
import type { Access, Found, GitProvider, Place, Repository } from './types.js';

const repository = z.object({
  id: z.string(),
  name: z.string(),
  defaultBranch: z.string().nullish(),
  isDisabled: z.boolean().nullish(),
  project: z.object({ name: z.string(), visibility: z.string().nullish(), lastUpdateTime: z.string().nullish() }),
});
const ref = z.object({ name: z.string(), objectId: z.string() });
const connection = z.object({
  authenticatedUser: z.object({
    id: z.string(),
    providerDisplayName: z.string().nullish(),
    properties: z.object({ Account: z.object({ $value: z.string() }).nullish() }).nullish(),
  }),
});
const opened = z.object({ pullRequestId: z.number(), repository: z.object({ webUrl: z.string().nullish() }) });
const listOf = <Item extends z.ZodType>(item: Item) => z.object({ value: z.array(item) });

const VERSION = 'api-version=7.1';
const HEADS = 'refs/heads/';

/** `host`: `dev.azure.com/organization`, `server/collection`, or the organization alone. */
export function azureDevops({ token, host, dispatcher }: Access): GitProvider {
  const [server, organization] = azurePlace(host);
  const ask = providerFetch('Azure DevOps', dispatcher);
  const authorization = `Basic ${Buffer.from(`:${token}`).toString('base64')}`;
  const to = (path: string, body?: unknown) => ({
    url: `${originOf(server)}${path}`,
    authorization,
    ...(body === undefined ? {} : { body }),
  });
  const get = <Schema extends z.ZodType>(path: string, schema: Schema) => ask(to(path), schema);
  const here = `/${encodeURIComponent(organization)}`;

  return {
    async account() {
      const { authenticatedUser: user } = await get(`${here}/_apis/connectionData?${VERSION}-preview`, connection);
      const login = user.properties?.Account?.$value ?? user.providerDisplayName ?? user.id;
      return {
        id: user.id,
        login,
        avatar_url: '',
        company: organization,
        name: user.providerDisplayName ?? null,
        email: login.includes('@') ? login : null,
      };
    },
    /** It answers all repositories of the organization at once; names with a blank cannot be started from. */
    async repositories({ query, sort, ...place }) {
      const { value } = await get(`${here}/_apis/git/repositories?${VERSION}`, listOf(repository));
      const words = query.toLowerCase();
      const found = value
        .filter((one) => one.isDisabled !== true)
        .map((one) => shown(organization, one))
        .filter(({ full_name }) => !/\s/.test(full_name) && full_name.toLowerCase().includes(words));
      return slice(sort === 'updated-asc' ? found.toReversed() : found, place);
    },
    async branches({ repository: name, query, ...place }) {
      const search = query === '' ? '' : `&filterContains=${encodeURIComponent(query)}`;
      const { value } = await get(`${pathOf(name)}/refs?filter=heads/${search}&${VERSION}`, listOf(ref));
      const items = value.map(({ name: full, objectId }) => ({
        name: full.startsWith(HEADS) ? full.slice(HEADS.length) : full,
        commit_sha: objectId,
        protected: false,
        last_push_date: null,
      }));
      return slice(items, place);
    },
    // Its work items belong to projects, not to repositories.
    tasks: () => Promise.resolve([]),
    installations: () => Promise.resolve([]),
    async openPullRequest({ repository: name, source, target, title, body }) {
      const made = await ask(
        to(`${pathOf(name)}/pullrequests?${VERSION}`, {
          sourceRefName: HEADS + source,
          targetRefName: HEADS + target,
          title,
          description: body,
        }),
        opened,
      );
      const page = made.repository.webUrl ?? webUrl(server, name);
      return { url: `${page}/pullrequest/${made.pullRequestId}`, number: made.pullRequestId };
    },
  };
}

/** Server and organization (or collection) of what the user named as host. */
export function azurePlace(host: string): [server: string, organization: string] {
  const [server = '', organization] = host.split('/');
  if (organization !== undefined) return [server, organization];
  return server.includes('.') || server.includes(':') ? [server, ''] : ['dev.azure.com', server];
}

/** Its page, which is also what is cloned. `name`: `organization/project/repository`. */
export function webUrl(server: string, name: string): string {
  const [organization = '', project = '', repo = ''] = name.split('/').map(encodeURIComponent);
  return `${originOf(server)}/${organization}/${project}/_git/${repo}`;
}

function pathOf(name: string): string {
  const [organization = '', project = '', repo = ''] = name.split('/').map(encodeURIComponent);
  return `/${organization}/${project}/_apis/git/repositories/${repo}`;
}

function slice<Item>(all: Item[], { page, size }: Place): Found<Item> {
  return { items: all.slice((page - 1) * size, page * size), more: all.length > page * size };
}

const shown = (organization: string, found: z.infer<typeof repository>): Repository => ({
  id: found.id,
  full_name: `${organization}/${found.project.name}/${found.name}`,
  git_provider: 'azure_devops',
  is_public: found.project.visibility === 'public',
  stargazers_count: null,
  link_header: null,
  pushed_at: found.project.lastUpdateTime ?? null,
  owner_type: 'organization',
  main_branch: found.defaultBranch?.replace(HEADS, '') ?? null,
});
