/** Compares what an agent has in its log with what is stored of it. Pure. */

export interface AgentEvent {
  id: string;
  kind: string;
  source?: string;
  llm_message?: { content: { text?: string }[] };
  [field: string]: unknown;
}
export interface StoredEvent {
  id: string;
  body: string;
}

export interface Seen {
  /** The agent's log, oldest first. */
  produced: AgentEvent[];
  /** Oldest first. */
  stored: StoredEvent[];
  /** What the conversation's row says of them. */
  counted: { count: number; bytes: number };
  /** Texts of messages that their senders were told to be taken; each is different. */
  acknowledged: string[];
  /** Messages that still wait. */
  waiting: number;
}

export interface Findings {
  events: number;
  messages: number;
  /** Empty when all is well. */
  problems: string[];
}

export function compare({ produced, stored, counted, acknowledged, waiting }: Seen): Findings {
  const problems: string[] = [];
  const wrong = (what: string, items: string[]) => {
    if (items.length > 0) problems.push(`${items.length} ${what} (${items.slice(0, 3).join(', ')})`);
  };
  const bodies = new Map(stored.map(({ id, body }) => [id, body]));
  const made = new Map(produced.map((event) => [event.id, event]));
  const texts = userTexts(stored);
  const times = (text: string) => texts.filter((one) => one === text).length;
  wrong(
    'events lost',
    [...made.keys()].filter((id) => !bodies.has(id)),
  );
  wrong(
    'events that the agent does not have',
    [...bodies.keys()].filter((id) => !made.has(id)),
  );
  wrong(
    'events twice',
    stored.map(({ id }) => id).filter((id, at, all) => all.indexOf(id) !== at),
  );
  wrong(
    'events changed',
    produced
      .filter((event) => bodies.has(event.id) && !sameFields(event, bodies.get(event.id) ?? ''))
      .map(({ id }) => id),
  );
  wrong(
    'messages lost',
    acknowledged.filter((text) => times(text) === 0),
  );
  wrong(
    'messages twice',
    acknowledged.filter((text) => times(text) > 1),
  );
  const order = stored.filter(({ id }) => made.has(id)).map(({ id }) => id);
  const wanted = [...made.keys()].filter((id) => bodies.has(id));
  const astray = order.findIndex((id, at) => id !== wanted[at]);
  if (astray !== -1) problems.push(`order is broken at place ${astray} (${order[astray]})`);
  const bytes = stored.reduce((sum, { body }) => sum + Buffer.byteLength(body), 0);
  if (counted.count !== stored.length || counted.bytes !== bytes)
    problems.push(`counted ${counted.count} events of ${counted.bytes} bytes, stored ${stored.length} of ${bytes}`);
  if (waiting > 0) problems.push(`${waiting} messages wait`);
  return { events: stored.length, messages: acknowledged.length, problems };
}

function userTexts(stored: StoredEvent[]): string[] {
  return stored
    .map(({ body }) => JSON.parse(body) as AgentEvent)
    .filter(({ kind, source }) => kind === 'MessageEvent' && source === 'user')
    .map((event) => (event.llm_message?.content ?? []).map(({ text }) => text ?? '').join(''));
}

/** Webhooks and searches may differ in fields that are null or not there, and in the order of fields. */
const sameFields = (event: AgentEvent, body: string): boolean =>
  JSON.stringify(ordered(event)) === JSON.stringify(ordered(JSON.parse(body)));

function ordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(ordered);
  if (typeof value !== 'object' || value === null) return value;
  const fields = Object.entries(value).filter(([, one]) => one !== null);
  return Object.fromEntries(fields.sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, one]) => [name, ordered(one)]));
}
