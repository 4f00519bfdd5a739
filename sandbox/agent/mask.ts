/** Secrets out of everything that leaves: every string of an event goes through `mask`. Pure. */
export function maskDeep<T>(value: T, mask: (text: string) => string): T {
  if (typeof value === 'string') return mask(value) as T;
  if (Array.isArray(value)) return value.map((each: unknown) => maskDeep(each, mask)) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, maskDeep(each as unknown, mask)])) as T;
}
