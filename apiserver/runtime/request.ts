/** The bodies of the Runtime API, and the Sandbox that a `/start` asks for. Pure. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { PORTS, PORT_NAMES, type PortName } from '../../contracts/ports.js';
import type { SandboxSpec, SandboxTemplate } from '../../contracts/resources.js';

const word = z.string().max(4096);
const user = z.number().int().min(1, 'Input should be the number of a user other than root').max(2_147_483_647);
const sessionId = z.string().min(1).max(500);

export const startBody = z.object({
  image: z.string().min(1).max(1024),
  /** A list of words (app server), one shell command (SDK), or nothing: the image's own. */
  command: z.union([z.array(word).max(64), word]).nullish(),
  working_dir: z.string().max(4096).nullish(),
  environment: z
    .record(
      z
        .string()
        .regex(/^[A-Za-z_][A-Za-z0-9_.-]*$/)
        .max(256),
      z.string().max(32_768),
    )
    .refine((map) => Object.keys(map).length <= 200, 'Input should have no more than 200 variables')
    .nullish(),
  session_id: sessionId,
  resource_factor: z.union([z.literal(1), z.literal(2), z.literal(4), z.literal(8)]).nullish(),
  runtime_class: z.string().max(253).nullish(),
  run_as_user: user.nullish(),
  run_as_group: user.nullish(),
  fs_group: user.nullish(),
  image_pull_policy: z.enum(['Always', 'IfNotPresent', 'Never']).nullish(),
});
export type StartBody = z.infer<typeof startBody>;

export const runtimeBody = z.object({ runtime_id: z.string().min(1).max(253) });

/**
 * Name of the Sandbox of a caller's session: the same for the same session, so that a second start finds the first one's;
 * different for another caller. The session id itself, which may hold any character, stands in an annotation.
 */
export function sandboxNameOf(owner: string, session: string): string {
  return `rt-${createHash('sha256')
    .update(JSON.stringify(['session', owner, session]))
    .digest('hex')
    .slice(0, 32)}`;
}

export interface Mapping {
  templates: readonly SandboxTemplate[];
  /** Template of sandboxes whose image no template has. */
  fallback: string | undefined;
  /** RuntimeClass of the cluster by the name that callers use; '' leaves the template's. */
  runtimeClasses: Readonly<Record<string, string>>;
}

/** A start whose image and command are those of a template differs from it only in what it really asks for. */
export function specOf(body: StartBody, mapping: Mapping): Omit<SandboxSpec, 'owner' | 'runState'> {
  const command = commandOf(body.command);
  const template = mapping.templates.find(
    ({ spec }) => spec.image === body.image && (command === undefined || same(command, spec.command ?? [])),
  );
  const name = template?.metadata.name ?? mapping.fallback;
  const env = environmentOf(body, template?.spec);
  return {
    ...(name === undefined ? {} : { template: name }),
    ...(template === undefined ? imageOf(body, command) : {}),
    ...own('imagePullPolicy', body.image_pull_policy, template?.spec.imagePullPolicy),
    ...own('runAsUser', body.run_as_user, template?.spec.runAsUser),
    ...own('runAsGroup', body.run_as_group, template?.spec.runAsGroup),
    ...own('fsGroup', body.fs_group, template?.spec.fsGroup),
    ...own('runtimeClassName', runtimeClassOf(body, mapping), template?.spec.runtimeClassName),
    ...own<'resourceFactor', 1 | 2 | 4 | 8>('resourceFactor', body.resource_factor, 1),
    ...(env.length === 0 ? {} : { env }),
  };
}

/** What a template knows of its image. The app server sends the same folder for every image, so a template's is believed. */
function imageOf(
  body: StartBody,
  command: string[] | undefined,
): Pick<SandboxSpec, 'image' | 'command' | 'workingDir' | 'ports'> {
  const ports = portsOf(body, command ?? []);
  return {
    image: body.image,
    ...(command === undefined ? {} : { command }),
    ...own('workingDir', body.working_dir, undefined),
    ...(ports.length === 0 ? {} : { ports }),
  };
}

function runtimeClassOf({ runtime_class: asked }: StartBody, { runtimeClasses }: Mapping): string | undefined {
  const name = asked == null ? '' : (runtimeClasses[asked] ?? asked);
  return name === '' ? undefined : name;
}

function own<Key extends string, Value>(key: Key, value: Value | null | undefined, inherited: Value | undefined) {
  return (value == null || value === inherited ? {} : { [key]: value }) as { [K in Key]?: Value };
}

/** Words as a pod takes them. One text with anything of a shell in it is given to a shell. */
export function commandOf(command: StartBody['command']): string[] | undefined {
  if (command == null || command.length === 0) return undefined;
  if (Array.isArray(command)) return command;
  return /^[\w@%+=:,./\s-]+$/.test(command) ? command.trim().split(/\s+/) : ['/bin/sh', '-c', command];
}

/** What the operator sets by itself, and says through ports. */
const OPERATORS = new Set(['OH_CONVERSATIONS_PATH', 'OH_BASH_EVENTS_DIR', 'OH_VSCODE_PORT', 'WORKER_1', 'WORKER_2']);

function environmentOf(body: StartBody, template: SandboxTemplate['spec'] | undefined) {
  const inherited = new Map((template?.env ?? []).map(({ name, value }) => [name, value]));
  return Object.entries(body.environment ?? {})
    .filter(([name, value]) => !OPERATORS.has(name) && inherited.get(name) !== value)
    .map(([name, value]) => ({ name, value }));
}

/** Where a caller names a port, in the order in which it is believed. V0 used the lower-case and WORK_ names. */
const PORT_VARIABLES: Record<PortName, readonly string[]> = {
  agent: ['port', 'PORT'],
  vscode: ['OH_VSCODE_PORT', 'VSCODE_PORT'],
  'worker-1': ['WORKER_1', 'WORK_PORT_1'],
  'worker-2': ['WORKER_2', 'WORK_PORT_2'],
};

/** The ports that the container will listen on, where they are not the usual ones. */
function portsOf(body: StartBody, command: readonly string[]): { name: string; port: number }[] {
  const environment = body.environment ?? {};
  const told = (name: PortName) => PORT_VARIABLES[name].map((variable) => environment[variable]);
  return PORT_NAMES.flatMap((name) => {
    const candidates = name === 'agent' ? [portArgument(command), ...told(name)] : told(name);
    const port = candidates.map(portNumber).find((number) => number !== undefined);
    return port === undefined || port === PORTS[name] ? [] : [{ name, port }];
  });
}

function portArgument(command: readonly string[]): string | undefined {
  const words = command.flatMap((part) => part.split(/\s+/));
  const at = words.findIndex((part) => part === '--port' || part.startsWith('--port='));
  return words[at]?.startsWith('--port=') ? words[at].slice('--port='.length) : at === -1 ? undefined : words[at + 1];
}

function portNumber(text: string | undefined): number | undefined {
  const number = /^[0-9]{1,5}$/.test(text ?? '') ? Number(text) : 0;
  return number >= 1 && number <= 65_535 ? number : undefined;
}

const same = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((part, index) => part === b[index]);
