import { useEffect, useState } from 'react';
import { isEvent, type AgentEvent } from '../api/events';
import { readShared, type Visit } from '../api/shares';
import { merge, transient } from './useEvents';

/** Visitors ask again after this: they get no socket to the sandbox. */
const AGAIN_MS = 3000;

/** The events of a shared conversation, followed while `isOpen`. */
export function useSharedEvents({ id, secret }: Visit, isOpen: boolean) {
  const [events, setEvents] = useState<AgentEvent[]>([]);
  const [error, setError] = useState<Error>();
  useEffect(() => {
    if (!isOpen) return undefined;
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout>;
    let newest: string | undefined;
    const look = async () => {
      try {
        const found = await readShared({ id, secret }, newest, abort.signal);
        const shown = found.filter(isEvent).filter((event) => !transient(event));
        newest = shown.at(-1)?.timestamp ?? newest;
        setEvents((known) => merge(known, shown));
        setError(undefined);
      } catch (problem) {
        if (!abort.signal.aborted) setError(problem as Error);
      }
      if (!abort.signal.aborted) timer = setTimeout(() => void look(), AGAIN_MS);
    };
    void look();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [id, secret, isOpen]);
  return { events, error };
}
