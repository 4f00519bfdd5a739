import { useMutation } from '@tanstack/react-query';
import { useState, type FormEvent } from 'react';
import { Link } from 'wouter';
import { decideDevice } from '../api/identity';
import { Field } from '../parts/Field';
import { Problem } from '../parts/Problem';
import { useTitle } from '../parts/useTitle';

/** A program waits to be let in; the person compares its code and decides. The code may come with the address. */
export function DevicePage() {
  useTitle('Let a program in');
  const [code, setCode] = useState(() => new URLSearchParams(location.search).get('user_code') ?? '');
  const decide = useMutation({ mutationFn: (allow: boolean) => decideDevice(code, allow) });
  if (decide.isSuccess) return <Decided allowed={decide.data.allowed} />;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    decide.mutate(true);
  };
  return (
    <div className="page">
      <h1>Let a program in</h1>
      <p>
        A program asks to act for you: with your conversations, settings and sandboxes. Allow it only if you have just
        started it yourself and it shows the same code.
      </p>
      <form className="settings" onSubmit={submit}>
        <Field label="Code" hint="Eight letters, as the program shows them">
          {(field) => (
            <input
              {...field}
              value={code}
              maxLength={20}
              required
              autoComplete="off"
              spellCheck={false}
              onChange={(event) => setCode(event.target.value)}
            />
          )}
        </Field>
        <Problem error={decide.error} />
        <p>
          <button type="submit" className="primary" disabled={decide.isPending}>
            Allow
          </button>{' '}
          <button type="button" disabled={decide.isPending || code === ''} onClick={() => decide.mutate(false)}>
            Deny
          </button>
        </p>
      </form>
    </div>
  );
}

function Decided({ allowed }: { allowed: boolean }) {
  return (
    <div className="page" role="status">
      <h1>{allowed ? 'The program is let in' : 'The program stays out'}</h1>
      <p>
        {allowed ? (
          <>
            You can close this page. The program has an API key for 90 days; <Link href="/settings">Settings</Link>{' '}
            lists it as “Device login”, and there you can revoke it.
          </>
        ) : (
          'You can close this page.'
        )}
      </p>
    </div>
  );
}
