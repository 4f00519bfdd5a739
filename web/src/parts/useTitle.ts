import { useEffect } from 'react';

/** The name of the page in the browser's tab; what a screen reader says first. */
export function useTitle(title: string | undefined): void {
  useEffect(() => {
    document.title = title === undefined || title === '' ? 'Sandlot' : `${title} · Sandlot`;
  }, [title]);
}
