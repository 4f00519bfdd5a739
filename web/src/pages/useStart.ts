import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { getProgress, getStartTask, openStart, type SandboxProgress, type StartTask } from '../api/platform';

const POLL_MS = 500;
const ended = (task: StartTask | null | undefined) => task?.status === 'READY' || task?.status === 'ERROR';

/** A start as it happens: told by a socket, or polled where none gets through. */
export function useStart(taskId: string) {
  const queries = useQueryClient();
  const [live, setLive] = useState(true);
  const [told, setTold] = useState<SandboxProgress>();
  const task = useQuery({
    queryKey: ['start-task', taskId],
    queryFn: () => getStartTask(taskId),
    refetchInterval: ({ state }) => (live || ended(state.data) ? false : POLL_MS),
  });
  const sandboxId = task.data?.sandbox_id ?? undefined;
  const polled = useQuery({
    queryKey: ['progress', sandboxId],
    queryFn: () => getProgress(sandboxId ?? ''),
    enabled: sandboxId !== undefined && !live,
    refetchInterval: ended(task.data) ? false : POLL_MS,
  });
  useEffect(
    () =>
      openStart(taskId, {
        onChange: (change) => {
          queries.setQueryData(['start-task', taskId], change.task);
          if (change.progress !== null) setTold(change.progress);
        },
        onClose: () => setLive(false),
      }),
    [queries, taskId],
  );
  return { task, progress: polled.data ?? told };
}
