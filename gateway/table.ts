/**
 * The routing table: which slot lives where, whose it is and how it may be reached. Fed by watches (feed.ts), read on
 * every request, in memory, by slot, conversation or session key. Nothing else is in it.
 */
import { createHash } from 'node:crypto';
import { sessionKey } from '../contracts/keys.js';
import { ANNOTATION, LABEL } from '../contracts/labels.js';
import { conversationHex, SLOT_PATTERN, slotOfSandbox } from '../contracts/names.js';
import { PORT_NAMES, type PortName } from '../contracts/ports.js';
import type { Sandbox, SandboxTemplate } from '../contracts/resources.js';
import type { PortRef } from '../contracts/urls.js';
import type { EndpointSlice } from '../kube/kinds.js';
import { createAddresses, sameAddress, type Address } from './addresses.js';
import { createClaims } from './claims.js';
import { createOwners, createTemplates, type OwnerLoad, type TemplateRules } from './common.js';

/** Counters of a slot that outlive changes of its route. */
export interface Load {
  requests: number;
  /** WebSockets and event streams. */
  streams: number;
  /** Last authorised traffic, ms since 1970; 0 for none. */
  lastTraffic: number;
}

export interface Route {
  slot: string;
  namespace: string;
  sandbox: string;
  owner: string;
  epoch: number;
  state: 'running' | 'starting' | 'paused' | 'failed';
  /** Version of the Sandbox that this was read from. */
  version: string;
  /** Paused to make room for another sandbox of its owner. */
  isDisplaced: boolean;
  /** It shall run again, but the operator has not taken that up. */
  isResuming: boolean;
  /** Of spec.lifecycle; undefined to follow the template. */
  wakeOnRequest: boolean | undefined;
  template: TemplateRules | undefined;
  /** Why there is no pod although there should be one. */
  refusal: Refusal | undefined;
  /** What clients of the agent server must send now. */
  key: string;
  address: Address | undefined;
  /** Further ports and visibilities of spec.ports. */
  ports: readonly { name: string; port: number; visibility: string }[];
  /** Share links that are good, by their ids. */
  shares: ReadonlyMap<string, Share>;
  /** Logins of the owner that are over, by their marks: when they ended, ms since 1970. */
  ended: ReadonlyMap<string, number>;
  load: Load;
  ownerLoad: OwnerLoad;
  /** Last traffic as any gateway has written it to the Sandbox, ms since 1970; 0 for never. */
  reportedTraffic: number;
}

const REFUSALS = ['OwnerLimitReached', 'NamespaceLimitReached', 'QuotaExceeded'] as const;
export type Refusal = (typeof REFUSALS)[number];
export const isRefusal = (reason: string): reason is Refusal => (REFUSALS as readonly string[]).includes(reason);

/** Whether authorised requests resume it. */
export const wakesOnRequest = (route: Route): boolean => route.wakeOnRequest ?? route.template?.wakeOnRequest ?? false;

export interface Share {
  /** Names and numbers; undefined for every port of visibility Shared. */
  ports: readonly (string | number)[] | undefined;
  /** ms since 1970. */
  expiresAt: number;
}

/** What the request path needs. */
export interface Lookup {
  bySlot(slot: string): Route | undefined;
  byConversation(hex: string): Route | undefined;
  byKey(key: string): Route | undefined;
}

export interface RouteTable extends Lookup {
  upsertSandbox(sandbox: Sandbox): void;
  removeSandbox(sandbox: Sandbox): void;
  upsertTemplate(template: SandboxTemplate): void;
  removeTemplate(template: SandboxTemplate): void;
  upsertSlice(slice: EndpointSlice): void;
  removeSlice(slice: EndpointSlice): void;
  routes(): Iterable<Route>;
}

interface Listeners {
  /** The pod behind a slot is another one now, or gone: connections to the old one must not be used again. */
  moved?(slot: string): void;
  /** Anything about a slot may be different now, or it is gone. */
  changed?(slot: string): unknown;
}

/** Keys are indexed by their hash, so that a lookup's duration tells nothing about keys that nearly match. */
const hashOf = (key: string) => createHash('sha256').update(key).digest('base64');

/** What the table holds for one Sandbox, whether or not the slot that it says is its own. */
interface Entry {
  route: Route;
  keyHash: string;
  conversations: readonly string[];
}

export function createTable(secret: string, listeners: Listeners = {}): RouteTable {
  const entries = new Map<string, Entry>();
  /** What requests see: for each slot the route of the Sandbox whose it is, with the address. */
  const slots = new Map<string, Route>();
  /** Hash of a session key → slot. */
  const keys = new Map<string, string>();
  const shownKeys = new Map<string, string>();
  const slotClaims = createClaims();
  const conversationClaims = createClaims();
  const addresses = createAddresses();
  const templates = createTemplates();
  const owners = createOwners();

  /** To be followed by `show` of its slot. */
  const withdraw = (id: string): Entry | undefined => {
    const entry = entries.get(id);
    if (entry === undefined) return undefined;
    entries.delete(id);
    slotClaims.drop(entry.route.slot, id);
    for (const conversation of entry.conversations) conversationClaims.drop(conversation, id);
    return entry;
  };
  const release = (entry: Entry | undefined) => {
    if (entry === undefined) return;
    owners.drop(entry.route);
    templates.drop(entry.route.template);
  };
  /** Shows the Sandbox that a slot belongs to now, and no key but its own. */
  const show = (slot: string) => {
    keys.delete(shownKeys.get(slot) ?? '');
    const entry = entries.get(slotClaims.holder(slot) ?? '');
    if (entry === undefined) {
      shownKeys.delete(slot);
      slots.delete(slot);
      return;
    }
    slots.set(slot, { ...entry.route, address: addresses.of(slot) });
    shownKeys.set(slot, entry.keyHash);
    keys.set(entry.keyHash, slot);
  };
  const left = (slot: string) => {
    show(slot);
    listeners.moved?.(slot);
    listeners.changed?.(slot);
  };
  const place = (slot: string) => {
    const address = addresses.of(slot);
    const route = slots.get(slot);
    if (route === undefined || sameAddress(route.address, address)) return;
    slots.set(slot, { ...route, address });
    if (route.address?.ip !== address?.ip) listeners.moved?.(slot);
    listeners.changed?.(slot);
  };
  return {
    bySlot: (slot) => slots.get(slot),
    byConversation(hex) {
      const entry = entries.get(conversationClaims.holder(hex) ?? '');
      return entry === undefined ? undefined : slots.get(entry.route.slot);
    },
    byKey: (key) => slots.get(keys.get(hashOf(key)) ?? ''),
    routes: () => slots.values(),
    upsertSandbox(sandbox) {
      const id = idOf(sandbox.metadata);
      const before = withdraw(id);
      const slot = sandbox.status?.slot;
      const isGone = sandbox.metadata.deletionTimestamp !== undefined;
      const from = before?.route.slot;
      if (from !== undefined && (from !== slot || isGone)) left(from);
      if (slot === undefined || !SLOT_PATTERN.test(slot) || isGone) return release(before);
      const load = from === slot && before !== undefined ? before.route.load : newLoad();
      const route = routeOf(sandbox, slot, secret, load);
      const { template } = sandbox.spec;
      const rules = template === undefined ? undefined : templates.take(idOf({ ...sandbox.metadata, name: template }));
      const entry: Entry = {
        route: { ...route, template: rules, ownerLoad: owners.take(route.owner) },
        keyHash: hashOf(route.key),
        conversations: conversationsOf(sandbox),
      };
      // Only now: the counters of an owner's last sandbox must outlive its changes.
      release(before);
      entries.set(id, entry);
      const claimant = {
        id,
        owner: route.owner,
        createdAt: Date.parse(sandbox.metadata.creationTimestamp ?? '') || 0,
        isByUid: false,
      };
      slotClaims.add(slot, { ...claimant, isByUid: slotOfSandbox(sandbox.metadata.uid ?? '') === slot });
      for (const conversation of entry.conversations) conversationClaims.add(conversation, claimant);
      show(slot);
      listeners.changed?.(slot);
    },
    removeSandbox(sandbox) {
      const before = withdraw(idOf(sandbox.metadata));
      release(before);
      if (before !== undefined) left(before.route.slot);
    },
    upsertTemplate: ({ metadata, spec }) => templates.set(idOf(metadata), spec.lifecycle?.wakeOnRequest ?? false),
    removeTemplate: ({ metadata }) => templates.remove(idOf(metadata)),
    upsertSlice(slice) {
      for (const slot of addresses.upsert(slice)) place(slot);
    },
    removeSlice(slice) {
      for (const slot of addresses.remove(slice)) place(slot);
    },
  };
}

const newLoad = (): Load => ({ requests: 0, streams: 0, lastTraffic: 0 });

const idOf = (metadata: { namespace?: string; name: string }) => `${metadata.namespace ?? ''}/${metadata.name}`;

function routeOf(sandbox: Sandbox, slot: string, secret: string, load: Load): Omit<Route, 'ownerLoad'> {
  const epoch = sandbox.status?.keyEpoch ?? 0;
  return {
    slot,
    namespace: sandbox.metadata.namespace ?? 'default',
    sandbox: sandbox.metadata.name,
    owner: sandbox.spec.owner ?? '',
    epoch,
    state: stateOf(sandbox),
    version: sandbox.metadata.resourceVersion ?? '',
    isDisplaced: isDisplaced(sandbox),
    isResuming: sandbox.spec.runState !== 'Paused',
    wakeOnRequest: sandbox.spec.lifecycle?.wakeOnRequest,
    template: undefined,
    refusal: refusalOf(sandbox),
    key: sessionKey(secret, slot, epoch),
    address: undefined,
    ports: (sandbox.spec.ports ?? []).map((port) => ({
      name: port.name,
      port: port.port,
      visibility: port.visibility ?? 'Private',
    })),
    shares: new Map((sandbox.spec.shares ?? []).map((share) => [share.id, shareOf(share)])),
    ended: new Map((sandbox.spec.endedSessions ?? []).map(({ id, at }) => [id, Date.parse(at) || 0])),
    load,
    reportedTraffic: Date.parse(sandbox.metadata.annotations?.[ANNOTATION.lastTraffic] ?? '') || 0,
  };
}

const shareOf = ({ ports, expiresAt }: NonNullable<Sandbox['spec']['shares']>[number]): Share => ({
  ports,
  expiresAt: Date.parse(expiresAt) || 0,
});

/** Paused as soon as it shall pause: from then on its key is dead, whatever still runs. */
function stateOf(sandbox: Sandbox): Route['state'] {
  if (sandbox.spec.runState === 'Paused') return 'paused';
  switch (sandbox.status?.phase) {
    case 'Running':
      return 'running';
    case 'Paused':
    case 'Pausing':
      // Resumed in the specification, not yet by the operator, which raises the epoch first: the old key stays dead.
      return 'paused';
    case 'Failed':
      return 'failed';
    case 'Pending':
    case 'Starting':
    case 'Terminating':
    case undefined:
      return 'starting';
  }
}

function isDisplaced({ status }: Sandbox): boolean {
  return status?.conditions?.some(({ type, reason }) => type === 'Paused' && reason === 'TooManySandboxes') ?? false;
}

function refusalOf({ status }: Sandbox): Refusal | undefined {
  return status?.conditions?.map(({ reason }) => reason).find(isRefusal);
}

function conversationsOf(sandbox: Sandbox): string[] {
  const label = sandbox.metadata.labels?.[LABEL.conversation];
  return [label, sandbox.metadata.name]
    .filter((id) => id !== undefined)
    .map(conversationHex)
    .filter((id) => /^[0-9a-f]{32}$/.test(id));
}

/** A port of a route: its name when it has one, so that rights do not depend on how it was spelled, and its number. */
export interface Port {
  name: string | undefined;
  number: number | undefined;
  isPublic: boolean;
  /** What spec.ports says of it; undefined when it says nothing. */
  visibility: string | undefined;
}

export function portOf(route: Route, ref: PortRef): Port {
  const numbers = route.address?.ports;
  const name = typeof ref === 'string' ? ref : nameOf(route, ref);
  const number = typeof ref === 'number' ? ref : numbers?.get(ref);
  const rule = route.ports.find((port) => port.port === number || port.name === name);
  // The agent port is the sandbox itself: no visibility opens it.
  return {
    name,
    number,
    isPublic: rule?.visibility === 'Public' && name !== 'agent',
    visibility: rule?.visibility,
  };
}

/** Whether a share link opens a port now. Agent and editor are the sandbox itself: whoever has them has its key. */
export function isSharedBy(route: Route, id: string, port: Port, now: number): boolean {
  const share = route.shares.get(id);
  if (share === undefined || share.expiresAt <= now || isPlatform(port)) return false;
  if (share.ports === undefined) return port.visibility === 'Shared';
  const declared = route.ports.find((one) => one.port === port.number)?.name;
  const listed = [port.name, port.number, declared].some((one) => one !== undefined && share.ports?.includes(one));
  return listed && port.visibility !== 'Private';
}

/** The agent server and VS Code, by whatever name or number they are asked for. */
export const isPlatform = ({ name }: Pick<Port, 'name'>): boolean => name === 'agent' || name === 'vscode';

function nameOf(route: Route, number: number): string | undefined {
  for (const [name, known] of route.address?.ports ?? []) if (known === number) return name;
  return undefined;
}

export const isNamedPort = (name: string | undefined): name is PortName =>
  (PORT_NAMES as readonly (string | undefined)[]).includes(name);
