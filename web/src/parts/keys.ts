import type { KeyboardEvent } from 'react';

/** Enter submits, Shift+Enter makes a new line; an input method's own Enter is left alone. */
export const onEnter = (submit: () => void) => (event: KeyboardEvent) => {
  if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return;
  event.preventDefault();
  submit();
};
