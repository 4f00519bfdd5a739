/** What this tab keeps while it is elsewhere. Undefined where storage is blocked or full: then it lives as long as its page. */
export function stored<T>(use: (storage: Storage) => T): T | undefined {
  try {
    return use(sessionStorage);
  } catch {
    return undefined;
  }
}
