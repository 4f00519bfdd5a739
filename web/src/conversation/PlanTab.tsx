import { useMutation, useQuery } from '@tanstack/react-query';
import { sendByHttp, type Agent } from '../api/agent';
import { readPlan } from '../api/platform';
import { Problem } from '../parts/Problem';
import { Sleeping } from './Sleeping';

interface PlanTabProps {
  agent: Agent | undefined;
  conversationId: string;
  active: boolean;
  /** The agent was told to carry it out. */
  onBuild(): void;
}

/** The plan as it stands in the workspace, and the button that has it built. */
export function PlanTab({ agent, conversationId, active, onBuild }: PlanTabProps) {
  const plan = useQuery({
    queryKey: ['plan', conversationId],
    queryFn: () => readPlan(conversationId),
    enabled: agent !== undefined && active,
    refetchInterval: 3000,
  });
  const build = useMutation({
    mutationFn: (target: Agent) => sendByHttp(target, 'Carry out the plan in .agents_tmp/PLAN.md.'),
    onSuccess: onBuild,
  });
  if (agent === undefined) return <Sleeping what="The plan" />;
  const text = plan.data ?? '';
  return (
    <div className="plan">
      <div className="bar end">
        <button
          type="button"
          className="primary"
          disabled={text === '' || build.isPending}
          onClick={() => build.mutate(agent)}
        >
          Build this plan
        </button>
      </div>
      <Problem error={plan.error ?? build.error} />
      {text === '' ? <p className="hint">There is no plan yet. Tell the planner what you want.</p> : <pre>{text}</pre>}
    </div>
  );
}
