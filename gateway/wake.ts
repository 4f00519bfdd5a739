/**
 * Wakes paused sandboxes when somebody asks for them. The write is a JSON patch that tests what it replaces, so that of many
 * gateways one resumes; each gateway tries once for each version of a Sandbox that it has seen.
 */
import { SANDBOX } from '../contracts/resources.js';
import { KubeError, type KubeClient } from '../kube/client.js';
import { PROBES } from './authorize.js';
import type { Forward } from './decide.js';
import { isForm, isNavigation, pathOf } from './http/request.js';
import { wakesOnRequest, type Route } from './table.js';

/**
 * Whether a request resumes the sandbox that it found paused. Browsers do by opening a page or sending a form: what open pages send by themselves
 * (polls, reconnecting sockets) would undo every pause. Programs with the key do, but not by probes. The open world never does.
 * One that was paused to make room is resumed by its owner's own wish only: else two open tabs would push each other out for ever.
 */
export function mayWake({ head, route, port, located, grant }: Forward): boolean {
  if (route.state !== 'paused' || !wakesOnRequest(route) || head.websocket) return false;
  if (route.isDisplaced && !route.isResuming) return false;
  if (route.isResuming && route.refusal !== undefined) return false;
  if (port.name === 'agent' && (PROBES.has(head.path) || PROBES.has(pathOf(located.target)))) return false;
  if (grant === 'cookie' || grant === 'share') return isNavigation(head) || isForm(head);
  if (grant !== 'key') return false;
  const isOfPage = head.fetchMode !== undefined || head.origin !== undefined;
  return !isOfPage || (head.method !== 'GET' && head.method !== 'HEAD');
}

/** `late`: somebody else was first. */
export type WakeResult = 'ok' | 'late' | 'error';

export interface Waker {
  /** Resumes it, unless that is under way. `failed` is called when it did not work. */
  wake(route: Route, failed: () => void): void;
}

export interface WakerOptions {
  client: Pick<KubeClient, 'patch'>;
  /** Called with the outcome of each write. */
  written: (result: WakeResult) => void;
}

const AT_ONCE = 16;
const MAX_TRIED = 10_000;

export function createWaker({ client, written }: WakerOptions): Waker {
  /** Slot → version of the Sandbox that was resumed last. */
  const tried = new Map<string, string>();
  let running = 0;

  const resume = async ({ namespace, sandbox: name }: Route): Promise<WakeResult> => {
    try {
      await client.patch(
        SANDBOX,
        { namespace, name },
        [
          { op: 'test', path: '/spec/runState', value: 'Paused' },
          { op: 'replace', path: '/spec/runState', value: 'Running' },
        ],
        { type: 'json', fieldManager: 'sandlot-gateway', timeoutMs: 5_000 },
      );
      return 'ok';
    } catch (error) {
      // 422: the test failed, it is no longer paused. 409: it changed in the same moment.
      return error instanceof KubeError && (error.code === 422 || error.code === 409) ? 'late' : 'error';
    }
  };
  return {
    wake(route, failed) {
      if (route.isResuming || tried.get(route.slot) === route.version) return;
      if (running >= AT_ONCE) return failed();
      if (tried.size >= MAX_TRIED) tried.clear();
      tried.set(route.slot, route.version);
      running++;
      void resume(route).then((result) => {
        running--;
        written(result);
        if (result !== 'error') return;
        tried.delete(route.slot);
        failed();
      });
    },
  };
}
