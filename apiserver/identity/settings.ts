/** Settings of who may use this server. Part of config.ts, the one reader of the environment. */
import { z } from 'zod';
import { list, url, whole } from '../../process/config.js';

/** The words that open single-user mode to other machines: whoever sets them has read them. */
export const ANYWHERE = 'everyone-who-reaches-it-is-the-user';

export const identityShape = {
  SANDLOT_IDENTITY: z.enum(['single-user', 'oidc'], { error: 'must be single-user or oidc' }),
  /** Where browsers reach this server: https://sandlot.example.com */
  SANDLOT_PUBLIC_URL: url()
    .refine((value) => new URL(value).pathname === '/', 'must have no path')
    .transform((value) => new URL(value).origin)
    .optional(),
  SANDLOT_SINGLE_USER_ANYWHERE: z.literal(ANYWHERE, { error: `must be exactly ${ANYWHERE}, or not set` }).optional(),
  SANDLOT_OIDC_ISSUER: url().optional(),
  SANDLOT_OIDC_CLIENT_ID: z.string().optional(),
  /** Without it the client is a public one, held by PKCE alone. */
  SANDLOT_OIDC_CLIENT_SECRET: z.string().optional(),
  SANDLOT_OIDC_SCOPES: z
    .string()
    .regex(/^openid( |$)/, 'must begin with openid')
    .default('openid profile email'),
  /** Claims that list groups or roles; a dot goes into an object (`realm_access.roles`). */
  SANDLOT_OIDC_GROUPS_CLAIMS: list().default(['groups']),
  SANDLOT_OIDC_ALLOWED_GROUPS: list().default([]),
  /** Addresses, or whole domains as `@example.com`. */
  SANDLOT_OIDC_ALLOWED_EMAILS: list().default([]),
  SANDLOT_OIDC_ADMIN_GROUPS: list().default([]),
  SANDLOT_SESSION_IDLE_MINUTES: whole(1, 43_200).default(720),
  SANDLOT_SESSION_MAX_HOURS: whole(1, 720).default(168),
};

type Read = z.infer<z.ZodObject<typeof identityShape>>;

export interface OidcSettings {
  issuer: string;
  clientId: string;
  clientSecret: string | undefined;
  scopes: string;
  groupsClaims: string[];
  allowedGroups: string[];
  allowedEmails: string[];
  adminGroups: string[];
}

export interface SessionSettings {
  /** A session that nobody uses ends after this. */
  idleMs: number;
  /** And every session after this. */
  maxMs: number;
}

export type IdentitySettings =
  /** `publicUrl`: set when other machines may reach it. */
  | { mode: 'single-user'; publicUrl: string | undefined }
  | { mode: 'oidc'; publicUrl: string; oidc: OidcSettings; session: SessionSettings };

const LOOPBACK = /^(localhost|127(\.[0-9]{1,3}){3}|::1)$/;

/** The settings, or what is wrong with them: a sentence for each. */
export function identityOf(read: Read, host: string): IdentitySettings | string[] {
  return read.SANDLOT_IDENTITY === 'single-user' ? singleUser(read, host) : withLogin(read);
}

/** Without a login, whoever reaches the port is the user: it must not be reachable from elsewhere by accident. */
function singleUser(read: Read, host: string): IdentitySettings | string[] {
  const anywhere = read.SANDLOT_SINGLE_USER_ANYWHERE !== undefined;
  if (!anywhere && !LOOPBACK.test(host))
    return [
      'SANDLOT_HOST: must be a loopback address (127.0.0.1, ::1) with SANDLOT_IDENTITY=single-user, since nobody is asked' +
        ` for a password; SANDLOT_SINGLE_USER_ANYWHERE=${ANYWHERE} says that this is wanted`,
    ];
  if (anywhere && read.SANDLOT_PUBLIC_URL === undefined)
    return ['SANDLOT_PUBLIC_URL: must be set with SANDLOT_SINGLE_USER_ANYWHERE, so that other names can be refused'];
  return { mode: 'single-user', publicUrl: anywhere ? read.SANDLOT_PUBLIC_URL : undefined };
}

function withLogin(read: Read): IdentitySettings | string[] {
  const {
    SANDLOT_PUBLIC_URL: publicUrl,
    SANDLOT_OIDC_ISSUER: issuer,
    SANDLOT_OIDC_CLIENT_ID: clientId,
    SANDLOT_OIDC_ALLOWED_GROUPS: allowedGroups,
    SANDLOT_OIDC_ALLOWED_EMAILS: allowedEmails,
  } = read;
  if (publicUrl === undefined || issuer === undefined || clientId === undefined) {
    const missing = Object.entries({
      SANDLOT_PUBLIC_URL: publicUrl,
      SANDLOT_OIDC_ISSUER: issuer,
      SANDLOT_OIDC_CLIENT_ID: clientId,
    }).filter(([, value]) => value === undefined);
    return missing.map(([name]) => `${name}: must be set with SANDLOT_IDENTITY=oidc`);
  }
  const plain = [
    ['SANDLOT_PUBLIC_URL', publicUrl],
    ['SANDLOT_OIDC_ISSUER', issuer],
  ].filter(([, value]) => isPlainElsewhere(value ?? ''));
  if (plain.length > 0) return plain.map(([name]) => `${name}: must be https, or http on this machine`);
  return {
    mode: 'oidc',
    publicUrl,
    oidc: {
      issuer,
      clientId,
      clientSecret: read.SANDLOT_OIDC_CLIENT_SECRET,
      scopes: read.SANDLOT_OIDC_SCOPES,
      groupsClaims: read.SANDLOT_OIDC_GROUPS_CLAIMS,
      allowedGroups,
      allowedEmails: allowedEmails.map((email) => email.toLowerCase()),
      adminGroups: read.SANDLOT_OIDC_ADMIN_GROUPS,
    },
    session: {
      idleMs: read.SANDLOT_SESSION_IDLE_MINUTES * 60_000,
      maxMs: read.SANDLOT_SESSION_MAX_HOURS * 3_600_000,
    },
  };
}

/** A password or a session over plain HTTP can be read on its way, unless it stays on the machine. */
function isPlainElsewhere(text: string): boolean {
  const { protocol, hostname } = new URL(text);
  return protocol === 'http:' && !LOOPBACK.test(hostname.replace(/^\[|\]$/g, ''));
}
