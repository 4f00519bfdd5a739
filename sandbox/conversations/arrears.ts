/** What a full disk did not take, written as soon as there is space. */

export interface Arrears {
  readonly due: boolean;
  /** `work` is tried every second until it succeeds; one at a time, a newer one takes its place. */
  owe(work: () => Promise<void>): void;
  /** Tries now; rejects while it still fails. Nothing new may be written before. */
  pay(): Promise<void>;
  stop(): void;
}

const AGAIN_MS = 1000;

export function createArrears(): Arrears {
  let owed: (() => Promise<void>) | undefined;
  let paying: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;
  const arm = () => {
    timer ??= setTimeout(() => {
      timer = undefined;
      pay().catch(() => undefined);
    }, AGAIN_MS).unref();
  };
  const attempt = async (work: () => Promise<void>) => {
    try {
      await work();
      if (owed === work) owed = undefined;
    } catch (error) {
      if (owed !== undefined) arm();
      throw error;
    } finally {
      paying = undefined;
    }
  };
  const pay = async (): Promise<void> => {
    if (owed !== undefined) await (paying ??= attempt(owed));
  };
  return {
    get due() {
      return owed !== undefined;
    },
    owe(work) {
      owed = work;
      arm();
    },
    pay,
    stop() {
      clearTimeout(timer);
      owed = undefined;
    },
  };
}
