/** A real OIDC provider (oidc-provider) with the paths of a Keycloak realm. Any password will do; people are set here. */
import { createServer, type IncomingMessage } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { Provider, type Configuration } from 'oidc-provider';

export interface PersonAtProvider {
  email?: string;
  name?: string;
  groups?: string[];
  /** As Entra ID names people. */
  preferred_username?: string;
  upn?: string;
  email_verified?: boolean;
}

export interface TestProvider {
  issuer: string;
  clientId: string;
  clientSecret: string;
  /** By login name. One who is taken out cannot log in, nor go on. */
  people: Map<string, PersonAtProvider>;
  /** While true, it hangs up on everybody. */
  away: boolean;
  stop(): Promise<void>;
}

const REALM = '/realms/test';
const AT = '/protocol/openid-connect';

export interface ProviderOptions {
  accessSeconds?: number;
  /** Where others reach it, by TLS; default: plain HTTP on loopback. */
  at?: { address: string; key: string; cert: string };
}

/** For one client, whose server is at `publicUrl`. */
export async function startOidc(publicUrl: string, options: ProviderOptions = {}): Promise<TestProvider> {
  const people = new Map<string, PersonAtProvider>();
  const clientId = 'sandlot';
  const clientSecret = 'a client secret for tests only, long enough';
  const { at } = options;
  const server = at === undefined ? createServer() : createTlsServer({ key: at.key, cert: at.cert });
  const address = at?.address ?? '127.0.0.1';
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  const origin = `${at === undefined ? 'http' : 'https'}://${address}:${(server.address() as AddressInfo).port}`;
  const issuer = `${origin}${REALM}`;
  const configuration: Configuration = {
    clients: [
      {
        client_id: clientId,
        client_secret: clientSecret,
        redirect_uris: [`${publicUrl}/oauth/callback`],
        post_logout_redirect_uris: [`${publicUrl}/logged-out`],
        backchannel_logout_uri: `${publicUrl}/oauth/backchannel-logout`,
        backchannel_logout_session_required: true,
        grant_types: ['authorization_code', 'refresh_token'],
      },
    ],
    pkce: { required: () => true },
    cookies: { keys: ['cookie keys of a provider for tests'] },
    claims: {
      openid: ['sub', 'sid'],
      email: ['email', 'email_verified'],
      profile: ['name', 'groups', 'preferred_username', 'upn'],
    },
    features: { backchannelLogout: { enabled: true }, rpInitiatedLogout: { enabled: true } },
    findAccount: (_context, id) => {
      const person = people.get(id);
      return person === undefined ? undefined : { accountId: id, claims: () => ({ sub: id, ...person }) };
    },
    // Consent is the provider's business, and this one has given it.
    loadExistingGrant: async (context) => {
      const grant = new context.oidc.provider.Grant({
        clientId: context.oidc.client?.clientId ?? '',
        accountId: context.oidc.session?.accountId ?? '',
      });
      grant.addOIDCScope('openid email profile');
      await grant.save();
      return grant;
    },
    // Its own way refuses addresses of this machine.
    fetch: (url, init) => fetch(url, { ...init, dispatcher: undefined } as RequestInit),
    issueRefreshToken: () => true,
    routes: {
      authorization: `${AT}/auth`,
      token: `${AT}/token`,
      userinfo: `${AT}/userinfo`,
      jwks: `${AT}/certs`,
      end_session: `${AT}/logout`,
    },
    ttl: {
      AccessToken: options.accessSeconds ?? 300,
      RefreshToken: 3600,
      Session: 3600,
      Grant: 3600,
      IdToken: 300,
      Interaction: 600,
    },
  };
  const provider = new Provider(issuer, configuration);
  const handle = provider.callback();
  const made: TestProvider = {
    issuer,
    clientId,
    clientSecret,
    people,
    away: false,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  server.on('request', (request: IncomingMessage & { originalUrl?: string }, response) => {
    if (made.away) return void request.destroy();
    request.originalUrl = request.url ?? '/';
    request.url = request.originalUrl.slice(REALM.length) || '/';
    void handle(request, response);
  });
  return made;
}

/** A browser without a screen: follows redirects, keeps cookies by host, fills in the provider's login form. */
export class TestBrowser {
  readonly cookies = new Map<string, Map<string, string>>();

  async fetch(url: string, init: RequestInit & { headers?: Record<string, string> } = {}): Promise<Response> {
    const { host } = new URL(url);
    const jar = this.cookies.get(host) ?? new Map<string, string>();
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    const response = await fetch(url, {
      redirect: 'manual',
      ...init,
      headers: { ...init.headers, ...(cookie === '' ? {} : { cookie }) },
    });
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      if (value === '' || /max-age=0|expires=Thu, 01 Jan 1970/i.test(line)) jar.delete(name);
      else jar.set(name, value);
    }
    this.cookies.set(host, jar);
    return response;
  }

  /** Follows redirects; `stop` ends them early, before that address is asked. */
  async follow(url: string, stop?: (url: string) => boolean): Promise<{ url: string; response: Response | undefined }> {
    let at = url;
    for (let hops = 0; hops < 20; hops += 1) {
      if (stop?.(at) === true) return { url: at, response: undefined };
      const response = await this.fetch(at);
      const to = response.headers.get('location');
      if (response.status < 300 || response.status >= 400 || to === null) return { url: at, response };
      at = new URL(to, at).href;
    }
    throw new Error('redirects without end');
  }

  /** Logs in at the provider's form that `url` leads to; answers where that ends. */
  async logIn(
    url: string,
    who: string,
    stop?: (url: string) => boolean,
  ): Promise<{ url: string; response: Response | undefined }> {
    const form = await this.follow(url, stop);
    if (form.response === undefined || !/\/interaction\//.test(form.url)) return form;
    const sent = await this.fetch(form.url, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({ prompt: 'login', login: who, password: 'any' }).toString(),
    });
    return await this.follow(new URL(sent.headers.get('location') ?? '', form.url).href, stop);
  }
}
