/** The tools of the MCP server: pull requests at the git providers, named and shaped as the OpenHands app server has them. Pure. */
import { z } from 'zod';
import type { PullRequest } from '../git/types.js';

const BOUNDS = new Set(['minimum', 'maximum', 'exclusiveMinimum', 'minLength', 'maxLength', 'maxItems', 'pattern']);

const repository = z
  .string()
  .max(1000)
  .regex(/^[\w.~-]+(\/[\w.~-]+){1,5}$/, 'name it owner/repository')
  .refine((name) => !name.includes('..'), 'name it owner/repository');
/** A project's number or path; models send the path as it is or URL-encoded. */
const projectId = z.union([z.int().positive(), z.string().max(1000)]);
const named = (description: string) => z.string().min(1).max(1000).describe(description);
const prose = (description: string) => z.string().max(100_000).nullable().describe(description);
const labels = z
  .array(z.string().max(200))
  .max(50)
  .nullable()
  .default(null)
  .describe("Labels to set. Only labels that the repository already has: look them up if you don't know them.");
const branches = {
  source_branch: named('Source branch on repo'),
  target_branch: named('Target branch on repo'),
};
const DRAFTS = 'Start title with `DRAFT:` or `WIP:` if applicable.';

const github = z.strictObject({
  repo_name: repository.describe('GitHub repository ({{owner}}/{{repo}})'),
  ...branches,
  title: named('PR Title'),
  body: prose('PR body'),
  draft: z.boolean().default(true).describe('Whether PR opened is a draft'),
  labels,
});
const gitlab = z.strictObject({
  id: projectId.describe('GitLab repository (ID or URL-encoded path of the project)'),
  ...branches,
  title: named(`MR Title. ${DRAFTS}`),
  description: prose('MR description'),
  labels,
});
const plain = (repo: string) =>
  z.strictObject({
    repo_name: repository.describe(repo),
    ...branches,
    title: named(`PR Title. ${DRAFTS}`),
    description: prose('PR description'),
  });

export interface Tool {
  name: string;
  description: string;
  /** Whose token it needs. */
  provider: string;
  /** Its arguments, as clients are shown them. */
  inputSchema: Record<string, unknown>;
  /** Throws ZodError. */
  read(args: unknown): PullRequest;
}

const tool = <Schema extends z.ZodType>(
  head: Pick<Tool, 'name' | 'description' | 'provider'>,
  schema: Schema,
  wanted: (args: z.output<Schema>) => PullRequest,
): Tool => ({ ...head, inputSchema: shown(schema), read: (args) => wanted(schema.parse(args)) });

type PlainArgs = z.output<ReturnType<typeof plain>>;
const plainRequest = (args: PlainArgs): PullRequest => ({
  repository: args.repo_name,
  source: args.source_branch,
  target: args.target_branch,
  title: args.title,
  body: args.description ?? '',
  draft: false,
  labels: [],
});

export const TOOLS: readonly Tool[] = [
  tool({ name: 'create_pr', description: 'Open a PR in GitHub', provider: 'github' }, github, (args) => ({
    ...plainRequest({ ...args, description: args.body }),
    draft: args.draft,
    labels: args.labels ?? [],
  })),
  tool({ name: 'create_mr', description: 'Open a MR in GitLab', provider: 'gitlab' }, gitlab, (args) => ({
    ...plainRequest({ ...args, repo_name: projectOf(args.id) }),
    labels: args.labels ?? [],
  })),
  tool(
    { name: 'create_bitbucket_pr', description: 'Open a PR in Bitbucket', provider: 'bitbucket' },
    plain('Bitbucket repository (workspace/repo_slug)'),
    plainRequest,
  ),
  tool(
    {
      name: 'create_bitbucket_data_center_pr',
      description: 'Open a PR in Bitbucket Data Center',
      provider: 'bitbucket_data_center',
    },
    plain('Bitbucket Data Center repository (PROJECT/repo_slug)'),
    plainRequest,
  ),
  tool(
    { name: 'create_azure_devops_pr', description: 'Open a PR in Azure DevOps', provider: 'azure_devops' },
    plain('Azure DevOps repository (organization/project/repo)'),
    plainRequest,
  ),
];

/** Throws ZodError. */
function projectOf(id: z.output<typeof projectId>): string {
  const text = String(id);
  if (/^[0-9]+$/.test(text)) return text;
  return repository.parse(text.replace(/%2f/gi, '/'));
}

/** As JSON Schema of the least kind: models and their providers stumble over bounds, patterns and lists of types. */
function shown(schema: z.ZodType): Record<string, unknown> {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, { io: 'input' });
  return simpler(rest) as Record<string, unknown>;
}

function simpler(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(simpler);
  if (typeof node !== 'object' || node === null) return node;
  const kept = Object.entries(node).filter(([key, value]) => typeof value === 'object' || !BOUNDS.has(key));
  return Object.fromEntries(
    kept.map(([key, value]) =>
      key === 'type' && Array.isArray(value)
        ? ['anyOf', value.map((type: unknown) => ({ type }))]
        : [key, simpler(value)],
    ),
  );
}
