import { setTimeout as sleep } from 'node:timers/promises';

/** The real time. Structurally a kube/ `Clock`; logic takes it as an argument so that tests need not wait. */
export const systemClock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: async (ms: number, signal?: AbortSignal): Promise<void> => {
    await sleep(ms, undefined, signal === undefined ? {} : { signal });
  },
};
