/** Names that two programs must derive alike. Slots: what addresses and keys hang on. */
import { createHash, randomBytes } from 'node:crypto';

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567';
const SLOT_LETTERS = 13;

function letters(bytes: Buffer): string {
  return Array.from(bytes.subarray(0, SLOT_LETTERS), (byte) => ALPHABET[byte & 31]).join('');
}

/** Slot of a cold sandbox: the same for the same Sandbox uid, so that a second create conflicts instead of duplicating. */
export function slotOfSandbox(uid: string): string {
  return `s${letters(createHash('sha256').update(`slot\n${uid}`).digest())}`;
}

/** Slot of a warm pod: random, 65 bits. */
export function newSlot(): string {
  return `s${letters(randomBytes(SLOT_LETTERS))}`;
}

/** `s` and 13 letters of base 32: a valid pod name, host label and path segment, and no valid port prefix. */
export const SLOT_PATTERN = /^s[a-z2-7]{13}$/;

export const podName = (slot: string): string => slot;
export const secretName = (slot: string): string => `${slot}-keys`;
/** Also what the cluster itself calls the claim of an ephemeral volume `workspace`: pod name, dash, volume name. */
export const workspaceClaimName = (slot: string): string => `${slot}-${WORKSPACE_VOLUME}`;
export const WORKSPACE_VOLUME = 'workspace';

/** Label-safe stand-in for a user id, which may hold any character. */
export function ownerLabel(owner: string): string {
  return createHash('sha256').update(`owner\n${owner}`).digest('hex').slice(0, 32);
}

/** Conversation ids are 32 hex digits without dashes inside Sandlot; both spellings come in. */
export function conversationHex(id: string): string {
  return id.replaceAll('-', '').toLowerCase();
}
export function conversationDashed(id: string): string {
  return conversationHex(id).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
