/**
 * Several operators share the sandboxes of their namespaces by the label `sandlot.dev/shard`, whatever its value: shard i takes
 * those labelled i, shard 0 all others. So each resource is watched by exactly one of them, children carry the label of their
 * sandbox or pool, and a claim never crosses. Which shard a new sandbox belongs to follows from its owner, so that limits per
 * owner hold; the operator that finds it elsewhere labels it, before it gets a slot. Pure.
 */
import { createHash } from 'node:crypto';
import { LABEL } from '../contracts/labels.js';
import type { Sandbox } from '../contracts/resources.js';
import type { KubeObject } from '../kube/types.js';

export interface Shard {
  index: number;
  count: number;
}

export const WHOLE: Shard = { index: 0, count: 1 };
/** More operators would each watch next to nothing. */
export const MOST_SHARDS = 64;

/** `1/4`; undefined when it is not of this form. */
export function parseShard(text: string): Shard | undefined {
  const match = /^([0-9]{1,2})\/([0-9]{1,2})$/.exec(text);
  const [index, count] = [Number(match?.[1]), Number(match?.[2])];
  return match !== null && index < count && count <= MOST_SHARDS ? { index, count } : undefined;
}

/** Of the sandboxes, pools and children of a shard; undefined: all. */
export function shardSelector({ index, count }: Shard): string | undefined {
  if (count === 1) return undefined;
  if (index > 0) return `${LABEL.shard}=${index}`;
  return `${LABEL.shard} notin (${Array.from({ length: count - 1 }, (_, one) => one + 1).join(',')})`;
}

/** Resources with the same one are in one shard, however many shards there are. */
export const shardKey = ({ metadata }: Pick<KubeObject, 'metadata'>): string => metadata.labels?.[LABEL.shard] || '0';

/** What a child of the resource is labelled with. */
export const shardLabel = (value: string | undefined): Record<string, string> =>
  value === undefined ? {} : { [LABEL.shard]: value };

/** The label that a sandbox should get first; undefined when it may stay. With a slot it stays where it is. */
export function newShard(sandbox: Sandbox, { count }: Shard): string | undefined {
  const { metadata, spec, status } = sandbox;
  if (count === 1 || status?.slot !== undefined || metadata.deletionTimestamp !== undefined) return undefined;
  const hash = createHash('sha256')
    .update(`shard\n${spec.owner ?? metadata.uid ?? ''}`)
    .digest();
  const home = String(hash.readUInt32BE() % count);
  return home === shardKey(sandbox) ? undefined : home;
}

const LEASE = 'sandlot-operator';
export const leaseName = ({ index }: Shard): string => (index === 0 ? LEASE : `${LEASE}-${index}`);
export const isOperatorLease = (name: string): boolean => /^sandlot-operator(-[0-9]{1,2})?$/.test(name);

/** The holder of a Lease says among how many it is one: operators that share in another way must not act beside it. */
export const holderIdentity = (process: string, { index, count }: Shard): string =>
  count === 1 ? process : `${process}/${index}of${count}`;
export const countOf = (holder: string): number => Number(/\/[0-9]+of([0-9]+)$/.exec(holder)?.[1] ?? 1);
