/**
 * What the model is shown of a conversation: the events that matter to it, after condensations, kept up to date from
 * the conversation's log without reading it again.
 */
import type { AgentEvent, AgentEventOf } from '../../contracts/agent/events.js';
import type { AgentConversation } from '../seam.js';

/** Events that the model sees, or that tell what it may see. */
export type ViewEvent = Extract<
  AgentEvent,
  {
    kind:
      | 'SystemPromptEvent'
      | 'MessageEvent'
      | 'ActionEvent'
      | 'ObservationEvent'
      | 'UserRejectObservation'
      | 'AgentErrorEvent'
      | 'CondensationSummaryEvent';
  }
>;

const SEEN = new Set<AgentEvent['kind']>([
  'SystemPromptEvent',
  'MessageEvent',
  'ActionEvent',
  'ObservationEvent',
  'UserRejectObservation',
  'AgentErrorEvent',
  'CondensationSummaryEvent',
]);
const isSeen = (event: AgentEvent): event is ViewEvent => SEEN.has(event.kind);

/** Without what the model does not read: whole files before and after an edit. */
function slim(event: ViewEvent): ViewEvent {
  if (event.kind !== 'ObservationEvent' || event.observation.kind !== 'FileEditorObservation') return event;
  const { old_content: _old, new_content: _new, ...observation } = event.observation;
  return { ...event, observation: observation as typeof event.observation };
}

export interface View {
  events: ViewEvent[];
  /** A condensation was asked for and has not happened. */
  condensationWanted: boolean;
}

export const emptyView = (): View => ({ events: [], condensationWanted: false });

/** Id of the summary that a condensation puts in place of what it removed. */
export const summaryId = (condensationId: string): string => `${condensationId}-summary`;

/** The view after one more event. Changes `view`. */
export function addEvent(view: View, event: AgentEvent): void {
  if (isSeen(event)) view.events.push(slim(event));
  else if (event.kind === 'CondensationRequest') view.condensationWanted = true;
  else if (event.kind === 'Condensation') {
    const forgotten = new Set(event.forgotten_event_ids);
    view.events = view.events.filter((each) => !forgotten.has(each.id));
    view.condensationWanted = false;
    if (event.summary == null || event.summary_offset == null) return;
    const summary: ViewEvent = {
      id: summaryId(event.id),
      timestamp: event.timestamp,
      source: 'environment',
      kind: 'CondensationSummaryEvent',
      summary: event.summary,
    };
    view.events.splice(Math.min(event.summary_offset, view.events.length), 0, summary);
  }
}

/** Calls that have no result yet: `action` is null for those that did not validate. */
export function openCalls(events: ViewEvent[]): AgentEventOf<'ActionEvent'>[] {
  const answered = new Set(
    events.flatMap((event) => ('tool_call_id' in event && event.kind !== 'ActionEvent' ? [event.tool_call_id] : [])),
  );
  return events.filter(
    (event): event is AgentEventOf<'ActionEvent'> => event.kind === 'ActionEvent' && !answered.has(event.tool_call_id),
  );
}

export interface ViewReader {
  /** Up to date with the log. The result is the reader's own: do not keep it. */
  refresh(): Promise<View>;
}

export function createViewReader(conversation: AgentConversation): ViewReader {
  let view = emptyView();
  let lastId: string | null = null;

  async function readAll(): Promise<void> {
    view = emptyView();
    lastId = null;
    for await (const event of conversation.history()) {
      addEvent(view, event);
      lastId = event.id;
    }
  }
  async function refresh(): Promise<View> {
    if (lastId !== null && conversation.leafId() === lastId) return view;
    const further = lastId === null ? undefined : await conversation.historyAfter(lastId);
    if (further === undefined) await readAll();
    else
      for (const event of further) {
        addEvent(view, event);
        lastId = event.id;
      }
    return view;
  }
  // A run and a title may ask at once: one reads after the other, or events would come in twice.
  let turn: Promise<unknown> = Promise.resolve();
  return {
    refresh() {
      const mine = turn.then(refresh);
      turn = mine.catch(() => undefined);
      return mine;
    },
  };
}
