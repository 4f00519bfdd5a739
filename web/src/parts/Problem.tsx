/** An error said in words, announced to screen readers. Nothing when there is none. */
export function Problem({ error }: { error: Error | null | undefined }) {
  if (error == null) return null;
  return (
    <p className="problem" role="alert">
      {error.message}
    </p>
  );
}
