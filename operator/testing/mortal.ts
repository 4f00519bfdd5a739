/** A client that dies after one of its writes, as its process would: the write happened, its answer never came, and nothing works any more. */
import { KubeError, type KubeClient } from '../../kube/client.js';

export interface MortalClient {
  client: KubeClient;
  /** Writes so far, or since `dieAfter`; Leases not counted. */
  writes(): string[];
  died(): boolean;
  /** Counts anew: it dies after that many more writes; 0: at once, between two. */
  dieAfter(count: number): void;
}

const dead = () => new KubeError('the process died', { code: 0, reason: 'ConnectionFailed' });

export function mortal(inner: KubeClient, count: number): MortalClient {
  let lifetime = count;
  let writes: string[] = [];
  let died = false;
  const alive = (): void => {
    if (died) throw dead();
  };
  const write = async <T>(what: string, run: () => Promise<T>): Promise<T> => {
    alive();
    if (what.includes('Lease') || what.includes('Event')) return run();
    writes.push(what);
    const last = writes.length >= lifetime;
    if (last) died = true;
    const result = await run();
    if (last) throw dead();
    return result;
  };
  const client: KubeClient = {
    ...inner,
    get: async (...args) => (alive(), inner.get(...args)),
    list: async (...args) => (alive(), inner.list(...args)),
    create: (kind, object, options) => write(`create ${kind.kind}`, () => inner.create(kind, object, options)),
    replace: (kind, object, options) => write(`replace ${kind.kind}`, () => inner.replace(kind, object, options)),
    patch: (kind, ref, body, options) =>
      write(`patch ${kind.kind}${options.subresource === undefined ? '' : `/${options.subresource}`}`, () =>
        inner.patch(kind, ref, body, options),
      ),
    apply: (kind, object, options) => write(`apply ${kind.kind}`, () => inner.apply(kind, object, options)),
    delete: (kind, ref, options) => write(`delete ${kind.kind}`, () => inner.delete(kind, ref, options)),
  };
  return {
    client,
    writes: () => [...writes],
    died: () => died,
    dieAfter(more) {
      lifetime = more;
      writes = [];
      died ||= more === 0;
    },
  };
}
