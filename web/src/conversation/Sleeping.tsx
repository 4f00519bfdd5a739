/** What a tab shows while there is no sandbox to look into. */
export function Sleeping({ what }: { what: string }) {
  return <p className="hint sleeping">{what} is there while the sandbox runs.</p>;
}
