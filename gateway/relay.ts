/** A connection to an app on the loopback of its pod, through the pod's agent server (contracts/relay.ts); then it is like any other. */
import { RELAY_PATH, RELAY_PROTOCOL } from '../contracts/relay.js';
import { keyOf, type Pool, type Target, type Upstream } from './pool.js';

const ANSWER_MS = 5_000;
const MAX_HEAD = 4 * 1024;
const ACCEPTED = /^HTTP\/1\.1 101 [^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n$/;

export interface Relay {
  /** Of the agent server. */
  port: number;
  /** Session key. */
  key: string;
}

/** As pool.dial. The agent server of OpenHands has no such way, so every refusal means that nobody listens. */
export function dialByRelay(
  pool: Pool,
  target: Target,
  relay: Relay,
  done: (error: Error | undefined, upstream: Upstream | undefined) => void,
): () => void {
  let cancel = pool.dial({ ...target, port: relay.port }, (error, upstream) => {
    if (upstream === undefined) return done(error, undefined);
    cancel = shakeHands(upstream, target, relay, done);
  });
  return () => cancel();
}

function shakeHands(
  upstream: Upstream,
  target: Target,
  relay: Relay,
  done: (error: Error | undefined, upstream: Upstream | undefined) => void,
): () => void {
  let text = '';
  const stop = () => {
    clearTimeout(timer);
    upstream.user = undefined;
    upstream.socket.destroy();
  };
  const refused = () => {
    stop();
    done(Object.assign(new Error('nobody listens there'), { code: 'ECONNREFUSED' }), undefined);
  };
  const timer = setTimeout(refused, ANSWER_MS);
  upstream.user = {
    data(chunk) {
      text += chunk.toString('latin1');
      if (!text.includes('\r\n\r\n') && text.length <= MAX_HEAD) return;
      // Nothing was asked of the app yet, so nothing may follow.
      if (!ACCEPTED.test(text)) return refused();
      clearTimeout(timer);
      upstream.user = undefined;
      upstream.key = keyOf(target);
      done(undefined, upstream);
    },
    ended: refused,
    closed: refused,
    drained: () => undefined,
  };
  upstream.socket.write(
    `GET ${RELAY_PATH}${target.port} HTTP/1.1\r\nHost: ${RELAY_PROTOCOL}\r\nConnection: Upgrade\r\nUpgrade: ${RELAY_PROTOCOL}\r\nX-Session-API-Key: ${relay.key}\r\n\r\n`,
    'latin1',
  );
  return stop;
}
