import { useSyncExternalStore } from 'react';

/** Below this width, chat and sandbox do not fit side by side. The style sheet says the same. */
const NARROW = matchMedia('(max-width: 60rem)');

const follow = (listener: () => void) => {
  NARROW.addEventListener('change', listener);
  return () => NARROW.removeEventListener('change', listener);
};

export const useNarrow = (): boolean => useSyncExternalStore(follow, () => NARROW.matches);
