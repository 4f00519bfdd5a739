/**
 * What the programs' Roles allow, beside what the API server's audit log says that they did: nothing may be refused, and no
 * right may be there that nobody uses.
 */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';

export interface Rule {
  apiGroups: string[];
  resources: string[];
  verbs: string[];
}

/** `patch sandlot.dev/sandboxes/status`, `list pods`. */
type Right = string;

export interface Deeds {
  done: Set<Right>;
  /** For want of a right, not by admission or quota. */
  refused: Set<Right>;
}

const rightOf = (verb: string, group: string, resource: string): Right =>
  `${verb} ${group === '' ? '' : `${group}/`}${resource}`;

export const rightsOf = (rules: readonly Rule[]): Set<Right> =>
  new Set(
    rules.flatMap(({ apiGroups, resources, verbs }) =>
      apiGroups.flatMap((group) => resources.flatMap((one) => verbs.map((verb) => rightOf(verb, group, one)))),
    ),
  );

interface AuditEvent {
  verb: string;
  user: { username: string };
  objectRef?: { apiGroup?: string; resource?: string; subresource?: string };
  annotations?: Record<string, string>;
}

/** By service account, of those in a namespace. A line that is still being written is left out. */
export async function readDeeds(lines: AsyncIterable<string>, namespace: string): Promise<Map<string, Deeds>> {
  const deeds = new Map<string, Deeds>();
  const prefix = `system:serviceaccount:${namespace}:`;
  for await (const line of lines) {
    if (!line.includes(prefix) || !line.endsWith('}')) continue;
    const { verb, user, objectRef, annotations } = JSON.parse(line) as AuditEvent;
    // Discovery and the like are everybody's.
    if (!user.username.startsWith(prefix) || objectRef?.resource === undefined) continue;
    const { apiGroup = '', resource, subresource } = objectRef;
    const right = rightOf(verb, apiGroup, subresource === undefined ? resource : `${resource}/${subresource}`);
    const name = user.username.slice(prefix.length);
    const own = deeds.get(name) ?? { done: new Set(), refused: new Set() };
    deeds.set(name, own);
    (annotations?.['authorization.k8s.io/decision'] === 'forbid' ? own.refused : own.done).add(right);
  }
  return deeds;
}

export const linesOf = (path: string): AsyncIterable<string> =>
  createInterface({ input: createReadStream(path), crlfDelay: Infinity });

/** Rights that a suite need not come to use, with the reason why they are there. */
export const RARELY: Readonly<Record<string, Readonly<Record<Right, string>>>> = {
  operator: {
    'get sandlot.dev/sandboxes': 'read again after a conflict of the status',
    'get sandlot.dev/sandboxpools': 'read again after a conflict of the status',
    'get sandlot.dev/sandboxtemplates': 'read again after a conflict of the status',
    'get pods': 'whose pod has the name, when a create was answered by 409',
    'get persistentvolumeclaims': 'whose claim has the name, when a create was answered by 409',
    'delete sandlot.dev/sandboxes': 'lifecycle.maxLifetime and deleteAfterPaused',
    'delete secrets': 'init keys that no pod uses any more',
    'delete persistentvolumeclaims': 'workspaces of warm pods that are gone',
    'patch events': 'the same Event again within ten minutes',
    'create services': 'asked by the API server for an apply that creates, which the log calls a patch',
    'update sandlot.dev/sandboxes/finalizers': 'asked for owner references that block, where OpenShift enforces it',
    'update sandlot.dev/sandboxpools/finalizers': 'asked for owner references that block, where OpenShift enforces it',
  },
  apiserver: { 'get sandlot.dev/sandboxes': 'after a create that was answered by 409' },
};

export interface Verdict {
  refused: Right[];
  /** Allowed, never used, and not among those that are used rarely. */
  idle: Right[];
  /** Among those that are used rarely, and not allowed at all. */
  stale: Right[];
}

export function judge(
  rules: readonly Rule[],
  deeds: Deeds | undefined,
  rarely: Readonly<Record<Right, string>>,
): Verdict {
  const rights = rightsOf(rules);
  return {
    refused: [...(deeds?.refused ?? [])].sort(),
    idle: [...rights].filter((right) => deeds?.done.has(right) !== true && !(right in rarely)).sort(),
    stale: Object.keys(rarely).filter((right) => !rights.has(right)),
  };
}
