export type Mode = 'code' | 'plan';

const MODES: { key: Mode; label: string; title: string }[] = [
  { key: 'code', label: 'Code', title: 'The agent works.' },
  { key: 'plan', label: 'Plan', title: 'A planner reads the workspace and writes a plan, nothing else.' },
];

/** Who is talked to: the agent that works, or the one that plans. */
export function ModeSwitch({ mode, onChange }: { mode: Mode; onChange(mode: Mode): void }) {
  return (
    <fieldset className="modes">
      <legend className="visually-hidden">Mode</legend>
      {MODES.map(({ key, label, title }) => (
        <label key={key} title={title}>
          <input type="radio" name="mode" checked={mode === key} onChange={() => onChange(key)} />
          {label}
        </label>
      ))}
    </fieldset>
  );
}
