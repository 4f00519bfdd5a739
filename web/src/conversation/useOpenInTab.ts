import { useMutation } from '@tanstack/react-query';

/** Opens a port of a sandbox in a browser tab of its own; `enter` asks for its address. */
export function useOpenInTab(enter: () => Promise<{ url: string }>) {
  const open = useMutation({
    mutationFn: async (target: Window | null) => {
      try {
        const { url } = await enter();
        if (target === null) throw new Error('The browser did not allow a new tab.');
        target.opener = null;
        target.location.href = url;
      } catch (error) {
        target?.close();
        throw error;
      }
    },
  });
  return {
    error: open.error,
    isPending: open.isPending,
    // The click itself opens the tab, or browsers would block it; its address is good for a minute only.
    open: () => open.mutate(window.open('about:blank', '_blank')),
  };
}
