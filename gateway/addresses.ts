/** Where the pod of each slot answers, put together from EndpointSlices. Nothing else is ever dialled. */
import { SLOT_PATTERN } from '../contracts/names.js';
import type { EndpointSlice } from '../kube/kinds.js';

export interface Address {
  ip: string;
  ready: boolean;
  ports: ReadonlyMap<string, number>;
}

export interface Addresses {
  of(slot: string): Address | undefined;
  /** Answers which slots may have another address now. */
  upsert(slice: EndpointSlice): Set<string>;
  remove(slice: EndpointSlice): Set<string>;
}

export function createAddresses(): Addresses {
  /** slot → slice → address: a pod may stand in several slices for a moment, and in one per address family. */
  const bySlot = new Map<string, Map<string, Address>>();
  const slotsOfSlice = new Map<string, Set<string>>();
  /**
   * Place → the slot that was last said to be there. A cluster gives the address of a dead pod to another one, maybe before
   * it takes back the old endpoint: what is meant for one sandbox must not reach the other.
   */
  const tenants = new Map<string, string>();

  const remove = (id: string): Map<string, Address> => {
    const removed = new Map<string, Address>();
    for (const slot of slotsOfSlice.get(id) ?? []) {
      const held = bySlot.get(slot);
      const address = held?.get(id);
      if (address !== undefined) removed.set(slot, address);
      held?.delete(id);
      if (held?.size === 0) bySlot.delete(slot);
    }
    slotsOfSlice.delete(id);
    return removed;
  };
  const vacate = (slot: string, address: Address) => {
    const isHeld = [...(bySlot.get(slot)?.values() ?? [])].some((other) => placeOf(other) === placeOf(address));
    if (!isHeld && tenants.get(placeOf(address)) === slot) tenants.delete(placeOf(address));
  };
  return {
    of(slot) {
      let best: Address | undefined;
      for (const candidate of bySlot.get(slot)?.values() ?? [])
        if (tenants.get(placeOf(candidate)) === slot && (best === undefined || !best.ready)) best = candidate;
      return best;
    },
    upsert(slice) {
      const id = idOf(slice);
      const before = remove(id);
      const now = addressesOf(slice);
      const affected = new Set([...before.keys(), ...now.keys()]);
      slotsOfSlice.set(id, new Set(now.keys()));
      for (const [slot, address] of now) {
        const held = bySlot.get(slot) ?? new Map<string, Address>();
        const place = placeOf(address);
        const tenant = tenants.get(place);
        // What is only said again does not take back what has gone to another since.
        const isOld = [before.get(slot), ...held.values()].some((one) => one !== undefined && placeOf(one) === place);
        bySlot.set(slot, held.set(id, address));
        if (tenant !== undefined && isOld) continue;
        if (tenant !== undefined) affected.add(tenant);
        tenants.set(place, slot);
      }
      for (const [slot, address] of before) vacate(slot, address);
      return affected;
    },
    remove(slice) {
      const removed = remove(idOf(slice));
      for (const [slot, address] of removed) vacate(slot, address);
      return new Set(removed.keys());
    },
  };
}

const idOf = ({ metadata }: EndpointSlice) => `${metadata.namespace ?? ''}/${metadata.name}`;

/** On one machine all pods have one address, and only their ports differ. */
const placeOf = ({ ip, ports }: Address) => `${ip} ${ports.get('agent') ?? ''}`;

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

/** Whether nothing that requests need is different. */
export function sameAddress(one: Address | undefined, other: Address | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return (
    one.ip === other.ip &&
    one.ready === other.ready &&
    one.ports.size === other.ports.size &&
    [...one.ports].every(([name, port]) => other.ports.get(name) === port)
  );
}
