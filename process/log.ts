import { pino, type DestinationStream, type Logger as PinoLogger } from 'pino';

export type Logger = PinoLogger;

/** Fields that may hold a credential wherever they turn up; the last line of defence behind not logging them at all. */
const REDACTED = [
  'authorization',
  'cookie',
  'set-cookie',
  'x-api-key',
  'x-session-api-key',
  'x-init-api-key',
  'api_key',
  'apiKey',
  'session_api_key',
  'secret',
  'secret_key',
  'token',
  'password',
];

/** Severities under the words that OpenHands' logs have, which are Python's. */
const SEVERITY: Record<string, string> = { warn: 'WARNING', fatal: 'CRITICAL', trace: 'DEBUG' };

/**
 * Keys of a line. Plain: `level` as a word, `time` as RFC 3339, `msg`. With `json` those of OpenHands' programs under
 * LOG_JSON=1: `severity`, `timestamp`, `message`. Beside both: `name` of the program, and where known `conversation_id` and
 * `user_id`.
 */
const KEYS = {
  plain: { time: 'time', messageKey: 'msg', level: (label: string) => ({ level: label }) },
  json: {
    time: 'timestamp',
    messageKey: 'message',
    level: (label: string) => ({ severity: SEVERITY[label] ?? label.toUpperCase() }),
  },
};

/** Where every line says when it was and how grave it is; for lines that do not go through a Logger. */
export const lineHead = (json: boolean, time: string): Record<string, string> =>
  json ? { severity: 'INFO', timestamp: time } : { level: 'info', time };

/** JSON lines on standard output, one an event. */
export function createLog(options: {
  name: string;
  level?: string;
  json?: boolean;
  destination?: DestinationStream;
}): Logger {
  const keys = options.json === true ? KEYS.json : KEYS.plain;
  const paths = REDACTED.flatMap((field) => [`["${field}"]`, `*["${field}"]`, `*.*["${field}"]`]);
  return pino(
    {
      name: options.name,
      level: options.level ?? 'info',
      base: { name: options.name },
      timestamp: () => `,"${keys.time}":"${new Date().toISOString()}"`,
      messageKey: keys.messageKey,
      formatters: { level: keys.level },
      redact: { paths, censor: '[redacted]' },
      serializers: { err: describeError, error: describeError },
    },
    options.destination ?? pino.destination({ dest: 1, sync: true }),
  );
}

/** Message, code and stack of an error and of what caused it, without the foreign fields that libraries attach (requests, headers). */
export function describeError(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return typeof error === 'string' ? error : describeThrown(error);
  const code = (error as { code?: unknown }).code;
  return {
    type: error.name,
    message: error.message,
    ...(code === undefined ? {} : { code }),
    ...(depth === 0 ? { stack: error.stack } : {}),
    ...(error.cause === undefined || depth >= 3 ? {} : { cause: describeError(error.cause, depth + 1) }),
  };
}

/** What a library threw that is no Error (WebAssembly's file systems do): the fields that tell what happened. */
function describeThrown(thrown: unknown): unknown {
  if (typeof thrown !== 'object' || thrown === null) return { message: String(thrown) };
  const { name, message, code, errno } = thrown as Record<string, unknown>;
  const told = Object.entries({ type: name, message, code, errno });
  const plain = told.filter(([, value]) => typeof value === 'string' || typeof value === 'number');
  return plain.length === 0 ? { message: Object.prototype.toString.call(thrown) } : Object.fromEntries(plain);
}
