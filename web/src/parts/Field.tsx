import { useId, type ReactNode } from 'react';

interface FieldProps {
  label: string;
  hint: string;
  children(field: { id: string; 'aria-describedby': string }): ReactNode;
}

/** An input with its label, and a hint that is read after it instead of being part of its name. */
export function Field({ label, hint, children }: FieldProps) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {children({ id, 'aria-describedby': `${id}-hint` })}
      <span className="hint" id={`${id}-hint`}>
        {hint}
      </span>
    </div>
  );
}
