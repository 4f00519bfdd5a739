/** Durations as the resources write them: `90s`, `20m`, `12h`, `30d`. */

const UNIT_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Milliseconds, or undefined for a rule that is off: absent, `0s`, or not of this form (the CRD's pattern refuses those). */
export function durationMs(text: string | undefined): number | undefined {
  const match = /^([0-9]{1,9})([smhd])$/.exec(text ?? '');
  if (match === null) return undefined;
  const ms = Number(match[1]) * UNIT_MS[match[2] as keyof typeof UNIT_MS];
  return ms === 0 ? undefined : ms;
}

/** A duration for people: `45 s`, `20 min`, `3 h`, `2 d`. */
export function describeMs(ms: number): string {
  if (ms < 120_000) return `${Math.max(0, Math.round(ms / 1_000))} s`;
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)} min`;
  if (ms < 172_800_000) return `${Math.round(ms / 3_600_000)} h`;
  return `${Math.round(ms / 86_400_000)} d`;
}

/** RFC 3339 in whole seconds, as Kubernetes writes times. */
export const timestamp = (ms: number): string => new Date(ms).toISOString().replace(/\.[0-9]{3}Z$/, 'Z');

/** Milliseconds since 1970, or undefined when absent or malformed. */
export function timeMs(text: string | null | undefined): number | undefined {
  const ms = Date.parse(text ?? '');
  return Number.isNaN(ms) ? undefined : ms;
}
