import type { Step } from './startSteps';

const WORDS = { done: 'done', now: 'in progress', later: 'to come', failed: 'failed' };

export function Steps({ steps }: { steps: Step[] }) {
  return (
    <ol className="steps" aria-live="polite">
      {steps.map((step) => (
        <li key={step.label} className={step.state}>
          <span className="mark" aria-hidden="true" />
          {step.label} <span className="visually-hidden">({WORDS[step.state]})</span>
          {step.note === undefined ? null : <span className="hint"> {step.note}</span>}
        </li>
      ))}
    </ol>
  );
}
