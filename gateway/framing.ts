/** Which body a message has (RFC 9112, 6.3), and how that is said to the client. Pure. */
import { chunkedBody, closeBody, lengthBody, noBody, type Body } from './http/body.js';
import type { RequestHead } from './http/request.js';
import type { ResponseHead } from './http/response.js';

export function bodyOfRequest(head: RequestHead): Body {
  return head.chunked ? chunkedBody(400) : lengthBody(head.length ?? 0, 400);
}

export function bodyOfResponse(method: string, head: ResponseHead): Body {
  if (method === 'HEAD' || isBodiless(head.status)) return noBody();
  if (head.chunked) return chunkedBody(502);
  return head.length === undefined ? closeBody() : lengthBody(head.length, 502);
}

const isBodiless = (status: number) => status < 200 || status === 204 || status === 304;

export const isFraming = (name: string): boolean => name === 'content-length' || name === 'transfer-encoding';

/** Framing field for the client; answers without a body keep the length that a GET would have, as HEAD and 304 may. */
export function framingLine(head: ResponseHead): string {
  if (head.status < 200 || head.status === 204) return '';
  if (head.chunked) return head.status === 304 ? '' : 'Transfer-Encoding: chunked\r\n';
  return head.length === undefined ? '' : `Content-Length: ${head.length}\r\n`;
}
