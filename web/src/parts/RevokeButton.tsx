import { Problem } from './Problem';

interface RevokeButtonProps {
  /** Of what is revoked, for who hears the page read. */
  name: string;
  act: { isPending: boolean; error: Error | null; mutate(): void };
}

/** Ends what a row of a list stands for, and says below when it did not work. */
export function RevokeButton({ name, act }: RevokeButtonProps) {
  return (
    <>
      <button type="button" aria-label={`Revoke ${name}`} disabled={act.isPending} onClick={() => act.mutate()}>
        Revoke
      </button>
      <Problem error={act.error} />
    </>
  );
}
