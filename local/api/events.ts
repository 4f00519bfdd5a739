/** One kept event, two views: core/v1 and events.k8s.io/v1 name the same fields differently. */
import type { Obj } from './object.js';

const PAIRS: readonly (readonly [core: string, events: string])[] = [
  ['involvedObject', 'regarding'],
  ['message', 'note'],
  ['source', 'deprecatedSource'],
  ['firstTimestamp', 'deprecatedFirstTimestamp'],
  ['lastTimestamp', 'deprecatedLastTimestamp'],
  ['count', 'deprecatedCount'],
  ['reportingComponent', 'reportingController'],
];

function renamed(object: Obj, apiVersion: string, direction: 0 | 1): Obj {
  const out: Obj = { ...object, apiVersion };
  for (const pair of PAIRS) {
    const from = pair[direction];
    const to = pair[direction === 0 ? 1 : 0];
    if (!(from in out)) continue;
    out[to] = out[from];
    Reflect.deleteProperty(out, from);
  }
  return out;
}

export const toEventsV1 = (object: Obj): Obj => renamed(object, 'events.k8s.io/v1', 0);
export const toCoreEvent = (object: Obj): Obj => renamed(object, 'v1', 1);
