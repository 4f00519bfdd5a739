/** A line that is longer than the limit, or is no JSON: the stream cannot be trusted any more. */
export class NdjsonError extends Error {}

/**
 * Splits a byte stream into JSON lines. Holds at most `maxLineBytes` of an unfinished line.
 * @throws NdjsonError from `push` for a line too long or not JSON.
 */
export function createNdjsonParser(maxLineBytes: number, onValue: (value: unknown) => void) {
  let pending: Buffer[] = [];
  let pendingBytes = 0;

  const emit = (line: Buffer): void => {
    if (line.length === 0 || (line.length === 1 && line[0] === 13)) return;
    let value: unknown;
    try {
      value = JSON.parse(line.toString('utf8'));
    } catch (cause) {
      throw new NdjsonError(`a line of ${line.length} bytes is not JSON`, { cause });
    }
    onValue(value);
  };

  const hold = (part: Buffer): void => {
    pendingBytes += part.length;
    if (pendingBytes > maxLineBytes) throw new NdjsonError(`a line is longer than ${maxLineBytes} bytes`);
    if (part.length > 0) pending.push(part);
  };

  return {
    push(chunk: Buffer): void {
      let start = 0;
      for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
        hold(chunk.subarray(start, end));
        const line = pending.length === 1 ? (pending[0] as Buffer) : Buffer.concat(pending);
        pending = [];
        pendingBytes = 0;
        start = end + 1;
        emit(line);
      }
      hold(chunk.subarray(start));
    },
    /** Bytes of a line whose end has not come. */
    pendingBytes: (): number => pendingBytes,
  };
}
