import { useEffect, useState, type Dispatch, type SetStateAction } from 'react';
import { stored } from './stored';

/** The text was taken; for where the page is left at the same moment. */
export const forgetDraft = (key: string) => stored((storage) => storage.removeItem(`draft:${key}`));

/** As useState for text that a person types: it survives a way to the login and back, in this tab only. Not for secrets. */
export function useDraft(key: string): [string, Dispatch<SetStateAction<string>>] {
  const place = `draft:${key}`;
  const [text, setText] = useState(() => stored((storage) => storage.getItem(place)) ?? '');
  useEffect(() => {
    stored((storage) => (text === '' ? storage.removeItem(place) : storage.setItem(place, text)));
  }, [place, text]);
  return [text, setText];
}
