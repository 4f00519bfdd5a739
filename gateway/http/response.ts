import { BadMessage, contentLength, headText, parseFields, tokens, type Field } from './message.js';

/** A response head of a pod that has passed every check. */
export interface ResponseHead {
  status: number;
  /** Reason phrase, possibly empty. */
  reason: string;
  fields: Field[];
  length: number | undefined;
  chunked: boolean;
  /** Whether the pod keeps the connection open afterwards. */
  keepAlive: boolean;
  /** Seconds of `Keep-Alive: timeout=…`. */
  keepAliveSeconds: number | undefined;
  nominated: string[];
}

const STATUS_LINE = /^HTTP\/1\.([01]) ([1-5][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?$/;

/** Reads the head in bytes[start, end); like parseRequest. Every refusal is a 502. */
export function parseResponse(bytes: Buffer, start: number, end: number): ResponseHead {
  const text = headText(bytes, start, end, 502);
  const lineEnd = text.indexOf('\r\n');
  const match = STATUS_LINE.exec(text.slice(0, lineEnd));
  if (match === null) throw new BadMessage(502, 'malformed status line');
  const head: ResponseHead = {
    status: Number(match[2]),
    reason: match[3] ?? '',
    fields: parseFields(text, lineEnd + 2, 502),
    length: undefined,
    chunked: false,
    keepAlive: match[1] === '1',
    keepAliveSeconds: undefined,
    nominated: [],
  };
  for (const field of head.fields) take(head, field);
  if (head.chunked && head.length !== undefined) throw new BadMessage(502, 'both Content-Length and Transfer-Encoding');
  return head;
}

function take(head: ResponseHead, { name, value }: Field): void {
  switch (name) {
    case 'content-length': {
      if (head.length !== undefined) throw new BadMessage(502, 'Content-Length given twice');
      head.length = contentLength(value, 502);
      break;
    }
    case 'transfer-encoding':
      if (head.chunked || value.toLowerCase() !== 'chunked') throw new BadMessage(502, 'unknown transfer coding');
      head.chunked = true;
      break;
    case 'connection': {
      const options = tokens(value);
      head.nominated = head.nominated.concat(options.filter((option) => option !== 'content-length'));
      if (options.includes('close')) head.keepAlive = false;
      break;
    }
    case 'keep-alive': {
      const seconds = /(?:^|[,\s])timeout=([0-9]{1,6})/i.exec(value)?.[1];
      if (seconds !== undefined) head.keepAliveSeconds = Number(seconds);
      break;
    }
  }
}
