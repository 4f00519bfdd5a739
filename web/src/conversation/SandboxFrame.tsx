/** A page of a sandbox: of another origin, free to do what pages do, but not to lead this one elsewhere. An editor may paste. */
export function SandboxFrame({ title, url, editor = false }: { title: string; url: string; editor?: boolean }) {
  return (
    <iframe
      title={title}
      src={url}
      sandbox="allow-scripts allow-same-origin allow-forms allow-modals allow-popups allow-popups-to-escape-sandbox allow-downloads"
      allow={editor ? 'clipboard-read; clipboard-write; fullscreen' : 'clipboard-write; fullscreen'}
    />
  );
}
