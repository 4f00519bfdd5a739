/** The newest commits of a repository. */
import { commitOf, git, isFolder } from './run.js';

export interface GitCommit {
  sha: string;
  short_sha: string;
  subject: string;
  author: string;
  timestamp: string;
}

const FORMAT = '--format=%H%x1f%h%x1f%s%x1f%an%x1f%aI%x1e';

/** Newest first; empty where there are none. */
export async function gitCommits(
  folder: string,
  page: { limit: number; skip: number },
): Promise<{ commits: GitCommit[]; has_more: boolean }> {
  if (!(await isFolder(folder)) || (await commitOf(folder, 'HEAD')) === undefined)
    return { commits: [], has_more: false };
  const how = ['--no-show-signature', FORMAT, `--max-count=${page.limit + 1}`, `--skip=${page.skip}`];
  const output = await git(folder, ['log', ...how]);
  const commits = output
    .split('\x1e')
    .map((record) => record.trim().split('\x1f'))
    .filter((fields) => fields.length === 5)
    .map(([sha = '', short_sha = '', subject = '', author = '', timestamp = '']) => ({
      sha,
      short_sha,
      subject,
      author,
      timestamp,
    }));
  return { commits: commits.slice(0, page.limit), has_more: commits.length > page.limit };
}
