/** What an archive leaves out. Patterns as in .gitignore: a name matches at any depth, one with slashes from the top, `/` at the end folders only. Pure. */

/** What is made anew from the rest, and would make most of an archive. */
export const USUAL_EXCLUDES: readonly string[] = [
  '.git/',
  'node_modules/',
  '.venv/',
  'venv/',
  '__pycache__/',
  '.mypy_cache/',
  '.pytest_cache/',
  '.ruff_cache/',
  'dist/',
  'build/',
  '.next/',
  'target/',
  '*.pyc',
];

/** Files inside `.git` (also of submodules) that hold credentials of clones, and its logs, which may. */
const GIT_SECRETS = new Set(['config', 'config.worktree', 'credentials', '.git-credentials', 'FETCH_HEAD']);

export function isGitSecret(path: string): boolean {
  const parts = path.split('/');
  const inside = parts.slice(parts.indexOf('.git') + 1);
  if (!parts.includes('.git') || inside.length === 0) return false;
  return inside.includes('logs') || GIT_SECRETS.has(inside.at(-1) ?? '');
}

/** Whether a path (with slashes, from the archive's top) is left out. */
export function excluder(patterns: readonly string[]): (path: string, isFolder: boolean) => boolean {
  const rules = patterns.map((pattern) => {
    const steps = pattern.replace(/\/+$/, '').split('/');
    return { foldersOnly: pattern.endsWith('/'), steps: steps.map(stepPattern) };
  });
  return (path, isFolder) => {
    const parts = path.split('/');
    return rules.some(({ foldersOnly, steps: [first, ...more], steps }) => {
      if (first === undefined) return false;
      // A folder that is left out takes with it what is inside; only the last part may be a file.
      const upTo = foldersOnly && !isFolder ? parts.length - 1 : parts.length;
      if (more.length === 0) return parts.slice(0, upTo).some((part) => first.test(part));
      return steps.length <= upTo && steps.every((step, at) => step.test(parts[at] ?? ''));
    });
  };
}

const stepPattern = (glob: string): RegExp =>
  new RegExp(
    `^${glob
      .replace(/[.+^${}()|\\]/g, '\\$&')
      .replace(/\[!/g, '[^')
      .replace(/\*+/g, '.*')
      .replace(/\?/g, '.')}$`,
    's',
  );

/** The same for git, as pathspecs. */
export const pathspecs = (patterns: readonly string[]): string[] =>
  patterns.flatMap((pattern) => {
    const name = pattern.replace(/\/+$/, '');
    if (name === '') return [];
    const place = name.includes('/') ? name : `**/${name}`;
    return [...(pattern.endsWith('/') ? [] : [`:(glob,exclude)${place}`]), `:(glob,exclude)${place}/**`];
  });
