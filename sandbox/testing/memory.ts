import { readFileSync } from 'node:fs';

const field = (pid: number, name: string): number =>
  Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? NaN) *
  1024;

/** The most bytes that a process ever had resident. */
export const peakMemory = (pid: number): number => field(pid, 'VmHWM');
/** Bytes that it has resident now. */
export const residentMemory = (pid: number): number => field(pid, 'VmRSS');
