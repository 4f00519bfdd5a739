import { useEffect } from 'react';
import { Link, useLocation } from 'wouter';
import { Problem } from '../parts/Problem';
import { Steps } from '../parts/Steps';
import { startSteps } from '../parts/startSteps';
import { useTitle } from '../parts/useTitle';
import { useStart } from './useStart';

/** The way of a new conversation from the request to the first event, step by step. */
export function StartPage({ taskId }: { taskId: string }) {
  const [, navigate] = useLocation();
  useTitle('Starting');
  const { task, progress } = useStart(taskId);
  const status = task.data?.status;
  const conversationId = status === 'READY' ? task.data?.app_conversation_id : undefined;
  useEffect(() => {
    if (conversationId != null) navigate(`/conversations/${conversationId}`, { replace: true });
  }, [conversationId, navigate]);

  if (task.isSuccess && task.data === null) {
    return (
      <p className="page">
        This start is not known any more. <Link href="/">Go to your conversations</Link>
      </p>
    );
  }
  return (
    <div className="page">
      <h1>Starting your sandbox</h1>
      <Problem error={task.error} />
      <Steps steps={startSteps(task.data ?? undefined, progress)} />
      {status === 'ERROR' ? (
        <p className="problem" role="alert">
          {task.data?.detail ?? 'The start failed.'} <Link href="/">Try again</Link>
        </p>
      ) : (
        <p className="hint">{task.data?.detail ?? ''}</p>
      )}
    </div>
  );
}
