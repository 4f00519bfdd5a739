/** Whether actions wait for the user's word. Pure. */
import type { AgentEventOf, SecurityRisk } from '../../contracts/agent/events.js';
import type { ConfirmationPolicy } from '../../contracts/agent/requests.js';

const ORDER: Record<SecurityRisk, number> = { UNKNOWN: -1, LOW: 0, MEDIUM: 1, HIGH: 2 };

export function mustConfirm(policy: ConfirmationPolicy, risk: SecurityRisk): boolean {
  switch (policy.kind) {
    case 'NeverConfirm':
      return false;
    case 'AlwaysConfirm':
      return true;
    case 'ConfirmRisky':
      return risk === 'UNKNOWN' ? (policy.confirm_unknown ?? true) : ORDER[risk] >= ORDER[policy.threshold ?? 'HIGH'];
  }
}

/** Ending or thinking needs nobody's leave. */
export function isHarmless(actions: AgentEventOf<'ActionEvent'>[]): boolean {
  return (
    actions.length === 1 && (actions[0]?.action?.kind === 'FinishAction' || actions[0]?.action?.kind === 'ThinkAction')
  );
}

export function needsConfirmation(policy: ConfirmationPolicy, actions: AgentEventOf<'ActionEvent'>[]): boolean {
  if (actions.length === 0 || isHarmless(actions)) return false;
  return actions.some((event) => mustConfirm(policy, event.security_risk));
}
