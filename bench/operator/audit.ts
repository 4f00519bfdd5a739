/** API calls since a moment, from the audit log. */
import type { Lab } from './lab.js';

export interface Call {
  count: number;
  user: string;
  agent: string;
  verb: string;
  /** With its subresource, `pods/status`. */
  resource: string;
  code: number;
}

const WRITES = new Set(['create', 'update', 'patch', 'delete']);

export async function callsSince(lab: Lab, since: Date): Promise<Call[]> {
  const text = await lab.kubebench('audit', '-f', lab.auditLog, '-since', since.toISOString());
  return text.split('\n').flatMap((line) => {
    const [count, user = '', agent = '', verb = '', resource = '', code] = line.trim().split(/\s+/);
    return code === undefined
      ? []
      : [{ count: Number(count), user, agent, verb, resource: resource.replace(/\/$/, ''), code: Number(code) }];
  });
}

export const sum = (calls: Call[]): number => calls.reduce((total, { count }) => total + count, 0);
export const by = (calls: Call[], agent: string): Call[] => calls.filter((call) => call.agent === agent);
/** Leases are renewed whatever happens. */
export const writes = (calls: Call[]): Call[] =>
  calls.filter(({ verb, resource }) => WRITES.has(verb) && resource !== 'leases');
export const of = (calls: Call[], verb: string, resource: string): number =>
  sum(calls.filter((call) => call.verb === verb && call.resource === resource));
