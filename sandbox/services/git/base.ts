/** What the state of a repository is compared with when a client names nothing. No step asks the network. */
import { ask, commitOf, EMPTY_TREE, git } from './run.js';

/**
 * The commit to compare with. `ref` as the client gave it (HttpError 400 when there is none such; `HEAD` of a repository
 * without commits is the empty tree). Without: for `show`, where the work on this branch began, so that what is
 * committed and even pushed stays visible; for `export`, a commit that a fresh clone has.
 */
export async function baseOf(root: string, ref: string | undefined, purpose: 'show' | 'export'): Promise<string> {
  const head = await commitOf(root, 'HEAD');
  if (ref === 'HEAD' || (ref === undefined && head === undefined)) return head ?? EMPTY_TREE;
  if (ref !== undefined)
    return (await git(root, ['rev-parse', '--verify', '--end-of-options', `${ref}^{commit}`])).trim();
  const branch = await ask(root, ['symbolic-ref', '--short', '--quiet', 'HEAD']);
  return purpose === 'show' ? shownBase(root, head ?? EMPTY_TREE, branch) : exportBase(root, head, branch);
}

async function shownBase(root: string, head: string, branch: string | undefined): Promise<string> {
  const upstream = branch === undefined ? undefined : await commitOf(root, `origin/${branch}`);
  // A branch that is pushed whole has no difference to its upstream, but it has one to where it began.
  if (upstream !== undefined && (upstream !== head || (await isTouched(root)))) return upstream;
  const remote = await remoteDefault(root);
  if (remote !== undefined) return (await mergeBase(root, remote)) ?? (await commitOf(root, remote)) ?? head;
  for (const name of ['main', 'master']) {
    const tip = await commitOf(root, name);
    if (tip === undefined) continue;
    return name !== branch && (await mergeBase(root, name)) === tip ? tip : head;
  }
  return head;
}

async function exportBase(root: string, head: string | undefined, branch: string | undefined): Promise<string> {
  // A checkout of a commit was pinned to it.
  if (branch === undefined) return head ?? EMPTY_TREE;
  const remote = await remoteDefault(root);
  return (
    (await commitOf(root, `origin/${branch}`)) ??
    (remote === undefined ? undefined : await commitOf(root, remote)) ??
    EMPTY_TREE
  );
}

const mergeBase = (root: string, other: string) => ask(root, ['merge-base', 'HEAD', other]);

/** Whether files that git knows differ from the last commit; new files never appear in `git diff`. */
const isTouched = async (root: string): Promise<boolean> =>
  (await ask(root, ['status', '--porcelain', '--untracked-files=no'])) !== undefined;

/** `origin/main`, or whatever the remote's first branch is called. */
async function remoteDefault(root: string): Promise<string | undefined> {
  const named = await ask(root, ['symbolic-ref', '--short', '--quiet', 'refs/remotes/origin/HEAD']);
  for (const name of [named, 'origin/main', 'origin/master'])
    if (name !== undefined && (await commitOf(root, name)) !== undefined) return name;
  return undefined;
}
