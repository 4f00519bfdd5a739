/**
 * The routing table: which slot lives where, whose it is and how it may be reached. Fed by watches (feed.ts), read on
 * every request, in memory, by slot, conversation or session key. Nothing else is in it.
 */
import { createHash } from 'node:crypto';
import { sessionKey } from '../contracts/keys.js';
import { ANNOTATION, LABEL } from '../contracts/labels.js';
import { conversationHex, SLOT_PATTERN } from '../contracts/names.js';
import { PORT_NAMES, type PortName } from '../contracts/ports.js';
import type { Sandbox, SandboxTemplate } from '../contracts/resources.js';
import type { PortRef } from '../contracts/urls.js';
import type { EndpointSlice } from '../kube/kinds.js';

/** Where the pod of a slot answers, as an EndpointSlice says. Nothing else is ever dialled. */
export interface Address {
  ip: string;
  ready: boolean;
  ports: ReadonlyMap<string, number>;
}

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
  load: Load;
  ownerLoad: OwnerLoad;
  /** Last traffic as any gateway has written it to the Sandbox, ms since 1970; 0 for never. */
  reportedTraffic: number;
}

/** What sandboxes take from their template; kept in step with it. */
export interface TemplateRules {
  wakeOnRequest: boolean;
}

const REFUSALS = ['OwnerLimitReached', 'NamespaceLimitReached', 'QuotaExceeded'] as const;
export type Refusal = (typeof REFUSALS)[number];
export const isRefusal = (reason: string): reason is Refusal => (REFUSALS as readonly string[]).includes(reason);

/** Whether authorised requests resume it. */
export const wakesOnRequest = (route: Route): boolean => route.wakeOnRequest ?? route.template?.wakeOnRequest ?? false;

/** Counters of all sandboxes of one owner. */
export interface OwnerLoad {
  requests: number;
  streams: number;
  /** Sandboxes that refer to it. */
  routes: number;
}

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

export function createTable(secret: string, listeners: Listeners = {}): RouteTable {
  const slots = new Map<string, Route>();
  const conversations = new Map<string, string>();
  const keys = new Map<string, string>();
  /** Also of templates that are not there (yet): routes refer to these objects. */
  const templates = new Map<string, TemplateRules>();
  const rulesOf = (id: string): TemplateRules => {
    const rules = templates.get(id) ?? { wakeOnRequest: false };
    templates.set(id, rules);
    return rules;
  };
  /** Sandbox → what the indexes hold for it. */
  const indexed = new Map<string, { slot: string; key: string; conversations: string[] }>();
  /** slot → slice → address: a pod may stand in several slices for a moment, and in one per address family. */
  const addresses = new Map<string, Map<string, Address>>();
  const slotsOfSlice = new Map<string, Set<string>>();

  const forget = (id: string) => {
    const entry = indexed.get(id);
    const route = slots.get(entry?.slot ?? '');
    if (entry === undefined || route === undefined) return undefined;
    indexed.delete(id);
    slots.delete(entry.slot);
    keys.delete(entry.key);
    for (const conversation of entry.conversations)
      if (conversations.get(conversation) === entry.slot) conversations.delete(conversation);
    return route;
  };
  const owners = new Map<string, OwnerLoad>();
  const takeOwner = (owner: string): OwnerLoad => {
    const load = owners.get(owner) ?? { requests: 0, streams: 0, routes: 0 };
    load.routes++;
    owners.set(owner, load);
    return load;
  };
  const dropOwner = (route: Route | undefined) => {
    if (route !== undefined && --route.ownerLoad.routes === 0) owners.delete(route.owner);
  };
  const left = (slot: string) => {
    listeners.moved?.(slot);
    listeners.changed?.(slot);
  };
  const place = (slot: string) => {
    const best = bestOf(addresses.get(slot));
    const route = slots.get(slot);
    if (route === undefined || sameAddress(route.address, best)) return;
    const moved = route.address?.ip !== best?.ip;
    slots.set(slot, { ...route, address: best });
    if (moved) listeners.moved?.(slot);
    listeners.changed?.(slot);
  };
  const removeSlice = (slice: EndpointSlice) => {
    const id = idOf(slice.metadata);
    const affected = slotsOfSlice.get(id) ?? new Set<string>();
    slotsOfSlice.delete(id);
    for (const slot of affected) {
      const held = addresses.get(slot);
      held?.delete(id);
      if (held?.size === 0) addresses.delete(slot);
    }
    return affected;
  };
  return {
    bySlot: (slot) => slots.get(slot),
    byConversation: (hex) => slots.get(conversations.get(hex) ?? ''),
    byKey: (key) => slots.get(keys.get(hashOf(key)) ?? ''),
    routes: () => slots.values(),
    upsertSandbox(sandbox) {
      const id = idOf(sandbox.metadata);
      const before = forget(id);
      const slot = sandbox.status?.slot;
      const isGone = sandbox.metadata.deletionTimestamp !== undefined;
      if (before !== undefined && (before.slot !== slot || isGone)) left(before.slot);
      if (slot === undefined || !SLOT_PATTERN.test(slot) || isGone) return dropOwner(before);
      const load = before?.slot === slot ? before.load : { requests: 0, streams: 0, lastTraffic: 0 };
      const { template } = sandbox.spec;
      const rules = template === undefined ? undefined : rulesOf(idOf({ ...sandbox.metadata, name: template }));
      const route = { ...routeOf(sandbox, slot, secret, load), template: rules };
      const ownerLoad = takeOwner(route.owner);
      // Only now: the counters of an owner's last sandbox must outlive its changes.
      dropOwner(before);
      slots.set(slot, { ...route, ownerLoad, address: bestOf(addresses.get(slot)) });
      listeners.changed?.(slot);
      const entry = { slot, key: hashOf(route.key), conversations: conversationsOf(sandbox) };
      indexed.set(id, entry);
      keys.set(entry.key, slot);
      for (const conversation of entry.conversations) conversations.set(conversation, slot);
    },
    removeSandbox(sandbox) {
      const before = forget(idOf(sandbox.metadata));
      dropOwner(before);
      if (before !== undefined) left(before.slot);
    },
    upsertTemplate({ metadata, spec }) {
      rulesOf(idOf(metadata)).wakeOnRequest = spec.lifecycle?.wakeOnRequest ?? false;
    },
    removeTemplate({ metadata }) {
      rulesOf(idOf(metadata)).wakeOnRequest = false;
    },
    upsertSlice(slice) {
      const affected = removeSlice(slice);
      const id = idOf(slice.metadata);
      const now = addressesOf(slice);
      slotsOfSlice.set(id, new Set(now.keys()));
      for (const [slot, address] of now) {
        const held = addresses.get(slot) ?? new Map<string, Address>();
        addresses.set(slot, held.set(id, address));
        affected.add(slot);
      }
      for (const slot of affected) place(slot);
    },
    removeSlice(slice) {
      for (const slot of removeSlice(slice)) place(slot);
    },
  };
}

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

/** Addresses by slot. The pod's name is its slot; endpoints of anything else are not ours. */
function addressesOf(slice: EndpointSlice): Map<string, Address> {
  const ports = new Map<string, number>();
  for (const { name, port } of slice.ports ?? []) if (name && port) ports.set(name, port);
  const found = new Map<string, Address>();
  if (slice.addressType === 'FQDN') return found;
  for (const endpoint of slice.endpoints ?? []) {
    const slot = endpoint.targetRef?.kind === 'Pod' ? endpoint.targetRef.name : undefined;
    const ip = endpoint.addresses[0];
    if (slot === undefined || ip === undefined || !SLOT_PATTERN.test(slot)) continue;
    found.set(slot, { ip, ready: endpoint.conditions?.ready !== false, ports });
  }
  return found;
}

function bestOf(candidates: ReadonlyMap<string, Address> | undefined): Address | undefined {
  let best: Address | undefined;
  for (const candidate of candidates?.values() ?? []) if (best === undefined || !best.ready) best = candidate;
  return best;
}

function sameAddress(a: Address | undefined, b: Address | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  if (a.ip !== b.ip || a.ready !== b.ready || a.ports.size !== b.ports.size) return false;
  for (const [name, port] of a.ports) if (b.ports.get(name) !== port) return false;
  return true;
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
