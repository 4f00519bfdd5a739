/** What came over the wire for one call of a model: bounded, and remembered for the words of an error. */

export interface Wire {
  /** For the model library, in place of the global `fetch`. */
  fetch: typeof fetch;
  /** What the library said of the failure, in words that tell a person where to look. */
  explain(message: string): string;
  /** The answer was larger than anything that a model says: asking again would bring it again. */
  readonly tooLarge: boolean;
}

/** The longest answer of a model, in bytes. Streams spend some 250 bytes a token: this is more than 60,000 tokens. */
const MAX_ANSWER = 16 << 20;
/** What a provider says of an error is shown to people. */
const MAX_WORDS = 2000;

export function createWire(limit = MAX_ANSWER): Wire {
  let answered: { status: number; type: string } | undefined;
  let bytes = 0;
  let cut = false;

  const bounded = (body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> => {
    const reader = body.getReader();
    return new ReadableStream<Uint8Array>({
      async pull(controller) {
        const { done, value } = await reader.read().catch((error: unknown) => {
          cut = true;
          throw error;
        });
        if (done) return controller.close();
        bytes += value.length;
        if (bytes <= limit) return controller.enqueue(value);
        controller.error(new Error(tooLong(limit)));
        await reader.cancel();
      },
      cancel: (reason) => reader.cancel(reason),
    });
  };
  return {
    async fetch(input, init) {
      const response = await fetch(input, init);
      const { status, statusText, headers, body } = response;
      answered = { status, type: headers.get('content-type') ?? 'none' };
      return body === null ? response : new Response(bounded(body), { status, statusText, headers });
    },
    explain(message) {
      const words = shortened(message);
      if (bytes > limit) return tooLong(limit);
      if (answered === undefined || answered.status >= 400) return words;
      if (cut) return 'The connection was cut before the answer was complete.';
      if (answered.type.startsWith('text/event-stream') && message.includes('without a finish reason'))
        return 'The stream ended before the answer was complete.';
      return `The answer cannot be understood (${words.replace(/\.$/, '')}; content type ${answered.type}). Is base_url the address of this model's API?`;
    },
    get tooLarge() {
      return bytes > limit;
    },
  };
}

const tooLong = (limit: number): string => `The answer is larger than ${limit >> 20} MiB and was given up.`;

const shortened = (words: string): string =>
  words.length > MAX_WORDS ? `${words.slice(0, MAX_WORDS)}… (${words.length} characters)` : words;
