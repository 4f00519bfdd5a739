/** A task that a git provider's lists suggest, as the first message of a conversation. Pure. */
import { z } from 'zod';

export const TASK_TYPES = [
  'MERGE_CONFLICTS',
  'FAILING_CHECKS',
  'UNRESOLVED_COMMENTS',
  'OPEN_ISSUE',
  'OPEN_PR',
] as const;
export type TaskType = (typeof TASK_TYPES)[number];

/** How a provider calls what a task is about, and the variable that holds the user's token in the sandbox. */
const TERMS = {
  github: { change: 'pull request', api: 'GitHub API', token: 'GITHUB_TOKEN' },
  gitlab: { change: 'merge request', api: 'GitLab API', token: 'GITLAB_TOKEN' },
  bitbucket: { change: 'pull request', api: 'Bitbucket API', token: 'BITBUCKET_TOKEN' },
  bitbucket_data_center: {
    change: 'pull request',
    api: 'Bitbucket Data Center API',
    token: 'BITBUCKET_DATA_CENTER_TOKEN',
  },
  forgejo: { change: 'pull request', api: 'Forgejo API', token: 'FORGEJO_TOKEN' },
  azure_devops: { change: 'pull request', api: 'Azure DevOps API', token: 'AZURE_DEVOPS_TOKEN' },
} as const;
type Provider = keyof typeof TERMS;

export const suggestedTask = z.object({
  git_provider: z.enum(Object.keys(TERMS) as [Provider, ...Provider[]]),
  task_type: z.enum(TASK_TYPES),
  repo: z.string().max(1000),
  issue_number: z.number().int().min(1),
  title: z.string().max(1000).default(''),
});
export type SuggestedTask = z.infer<typeof suggestedTask>;

export function promptOf({ git_provider, task_type, repo, issue_number }: SuggestedTask): string {
  const { change, api, token } = TERMS[git_provider];
  const it = `${change} #${issue_number} of ${repo}`;
  const access = `Use the ${api} with the token in the environment variable ${token} to read it; never print the token.`;
  const branch = `Check out its branch and push what you change to that branch.`;
  switch (task_type) {
    case 'MERGE_CONFLICTS':
      return `The ${it} has merge conflicts. ${access} ${branch} Merge its target branch into it, resolve each conflict so that the intent of both sides is kept, and make sure that the project still builds and its tests pass.`;
    case 'FAILING_CHECKS':
      return `The checks of the ${it} fail. ${access} ${branch} Read the logs of the failed checks, find the cause, fix it, and run the same checks here before you push.`;
    case 'UNRESOLVED_COMMENTS':
      return `The ${it} has review comments that are not resolved. ${access} ${branch} Go through them one by one: change the code where the reviewer is right, and answer where you disagree. Do not resolve comments yourself.`;
    case 'OPEN_ISSUE':
      return `Work on issue #${issue_number} of ${repo}. Use the ${api} with the token in the environment variable ${token} to read the issue and its comments; never print the token. If it is clear what is wanted, do it on a new branch, with tests, and open a draft ${change} that names the issue. If it is not clear, ask before you change anything.`;
    case 'OPEN_PR':
      return `Look at the ${it}. ${access} ${branch} Say what it does and what is left to do, then finish it.`;
  }
}
