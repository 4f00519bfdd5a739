/** A disk without space: how it is known, and what people are told. */

/** In answers and events. */
export const DISK_FULL =
  'The disk of the sandbox is full: nothing was kept of this. Free some space (delete files in the workspace or old conversations), then go on.';

/** Whether a write failed because there is no space, or no quota, left. */
export function isDiskFull(error: unknown, depth = 0): boolean {
  if (!(error instanceof Error) || depth > 5) return false;
  return (
    ['ENOSPC', 'EDQUOT'].includes(String((error as NodeJS.ErrnoException).code)) || isDiskFull(error.cause, depth + 1)
  );
}
