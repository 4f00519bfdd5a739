import { useId, useState } from 'react';

/** Text to take away: selected when it is focused, copied by a button where the browser allows that. */
export function CopyField({ label, text }: { label: string; text: string }) {
  const id = useId();
  const [said, setSaid] = useState('');
  const copy = () => {
    navigator.clipboard.writeText(text).then(
      () => setSaid('Copied.'),
      () => setSaid('The browser did not allow it; copy it by hand.'),
    );
  };
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <div className="copy">
        <input id={id} readOnly value={text} onFocus={(event) => event.target.select()} />
        <button type="button" onClick={copy}>
          Copy
        </button>
      </div>
      <span className="hint" role="status">
        {said}
      </span>
    </div>
  );
}
