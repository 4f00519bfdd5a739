/** What a provider says of a person, and whether that lets them in. Pure. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { OidcSettings } from './settings.js';
import { ADMIN } from './scopes.js';

export interface Person {
  subject: string;
  /** That the provider vouches for: what rules go by. */
  email: string | undefined;
  /** What people know them by: `email`, or a login name of that form (Entra ID often gives no other). Rules never go by it. */
  address: string | undefined;
  name: string | undefined;
  groups: string[];
  /** The provider's session (`sid`), when it names it. */
  providerSession: string | undefined;
}

export type Claims = Record<string, unknown>;

const text = z.string().min(1).max(512);
const MAX_GROUPS = 10_000;
const ADDRESS = /^[^\s@]+@[^\s@]+\.[^\s@]+$/;

/** First and family name, where the provider gives no whole one. */
function claimedName({ given_name, family_name }: Claims): string | undefined {
  const parts = [given_name, family_name].flatMap((value) => text.safeParse(value).data ?? []);
  return parts.length === 0 ? undefined : parts.join(' ').slice(0, 512);
}

/** Throws ZodError for claims without a subject. */
export function personOf(claims: Claims, groupsClaims: string[]): Person {
  const login = [claims.upn, claims.preferred_username].map((value) => text.safeParse(value).data);
  const email = text.safeParse(claims.email).data?.toLowerCase();
  const isDenied = claims.email_verified === false;
  const loginAddress = login.find((value) => value !== undefined && ADDRESS.test(value))?.toLowerCase();
  return {
    subject: text.parse(claims.sub),
    // An address that the provider itself does not vouch for is nobody's.
    email: isDenied ? undefined : email,
    // Users may choose login names at some providers: of one who has an address unverified, it is no address either.
    address: isDenied ? undefined : (email ?? loginAddress),
    name: [text.safeParse(claims.name).data, claimedName(claims), ...login].find((value) => value !== undefined),
    groups: groupsClaims.flatMap((path) => groupsAt(claims, path)).slice(0, MAX_GROUPS),
    providerSession: text.safeParse(claims.sid).data,
  };
}

/** A claim's strings. `a.b` is `{a: {b: […]}}`, or a claim whose name has a dot. */
function groupsAt(claims: Claims, path: string): string[] {
  const inside = path
    .split('.')
    .reduce<unknown>((value, key) => (isRecord(value) && Object.hasOwn(value, key) ? value[key] : undefined), claims);
  const found = claims[path] ?? inside;
  const all: unknown[] = Array.isArray(found) ? found : [found];
  return all.filter((value): value is string => typeof value === 'string');
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

/** Whether the rules need what these claims do not say. */
export function lacksClaims(claims: Claims, settings: OidcSettings): boolean {
  const { allowedGroups, adminGroups, groupsClaims } = settings;
  const needsGroups = allowedGroups.length > 0 || adminGroups.length > 0;
  return (
    claims.email === undefined || (needsGroups && groupsClaims.every((path) => groupsAt(claims, path).length === 0))
  );
}

/** Roles of a person who may come in; undefined for one who may not. No rule means that every user of the provider may. */
export function admit(
  { email, groups }: Person,
  { allowedGroups, allowedEmails, adminGroups }: Pick<OidcSettings, 'allowedGroups' | 'allowedEmails' | 'adminGroups'>,
): string[] | undefined {
  const isAdmin = groups.some((group) => adminGroups.includes(group));
  const isListed =
    groups.some((group) => allowedGroups.includes(group)) ||
    allowedEmails.some((allowed) => (allowed.startsWith('@') ? email?.endsWith(allowed) : email === allowed));
  const isOpen = allowedGroups.length === 0 && allowedEmails.length === 0;
  if (!isOpen && !isListed && !isAdmin) return undefined;
  return isAdmin ? [ADMIN] : [];
}

/** The user's id here: the same in every replica, and never another person's, also when two providers have the same subject. */
export function userIdOf(issuer: string, subject: string): string {
  return createHash('sha256').update(`${issuer}\n${subject}`).digest('hex').slice(0, 32);
}

/** Where a browser goes after login: a path of this server, nothing else. */
export function localPath(wanted: unknown): string {
  return typeof wanted === 'string' && /^\/(?![/\\])[^\\\s]{0,2000}$/.test(wanted) ? wanted : '/';
}
