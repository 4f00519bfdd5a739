/** A page of a sandbox: of another origin, free to do what pages do, but not to lead this one elsewhere. */
export function SandboxFrame({ title, url }: { title: string; url: string }) {
  return (
    <iframe
      title={title}
      src={url}
      sandbox="allow-scripts allow-same-origin allow-forms allow-modals allow-popups allow-popups-to-escape-sandbox allow-downloads"
      allow="clipboard-read; clipboard-write; fullscreen"
    />
  );
}
