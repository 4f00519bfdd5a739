import { useEffect, useState, type Dispatch, type SetStateAction } from 'react';

/** The text was taken; for where the page is left at the same moment. */
export const forgetDraft = (key: string) => sessionStorage.removeItem(`draft:${key}`);

/** As useState for text that a person types: it survives a way to the login and back, in this tab only. Not for secrets. */
export function useDraft(key: string): [string, Dispatch<SetStateAction<string>>] {
  const place = `draft:${key}`;
  const [text, setText] = useState(() => sessionStorage.getItem(place) ?? '');
  useEffect(() => {
    if (text === '') sessionStorage.removeItem(place);
    else sessionStorage.setItem(place, text);
  }, [place, text]);
  return [text, setText];
}
