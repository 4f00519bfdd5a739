/** What a conversation is called until somebody, or the agent, has a better name. */
export const defaultTitle = (id: string): string => `Conversation ${id.slice(0, 5)}`;
