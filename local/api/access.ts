/** Who may ask: whoever shows the one bearer token. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

export interface Access {
  allows(request: IncomingMessage): boolean;
}

const digest = (value: string): Buffer => createHash('sha256').update(value).digest();
const WEBSOCKET_TOKEN = 'base64url.bearer.authorization.k8s.io.';

export function createAccess(token: string): Access {
  const wanted = digest(token);
  const fits = (given: string): boolean => timingSafeEqual(digest(given), wanted);
  return {
    allows(request) {
      const bearer = /^Bearer\s+(\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
      if (bearer !== undefined) return fits(bearer);
      // Browsers cannot set headers on a WebSocket; the API takes the token as a subprotocol there.
      const protocols = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((one) => one.trim());
      const carried = protocols.find((one) => one.startsWith(WEBSOCKET_TOKEN))?.slice(WEBSOCKET_TOKEN.length);
      return carried !== undefined && fits(Buffer.from(carried, 'base64url').toString());
    },
  };
}
