import t from 'tap';
import { signPass, verifyPass, verifyShare } from './tokens.js';
import {
  entryUrl,
  parseHost,
  parseLabel,
  parsePortRef,
  sandboxUrl,
  type GatewayAddress,
  type PortRef,
} from './urls.js';

const SLOT = 'sabcdefghijklm';
const SECRET = 'an installation secret of enough characters';

t.test('addresses: what is handed out is read back, in host and sibling form', async (t) => {
  const domain = 'sandbox.localhost:3001';
  const cases: [PortRef, string, string, string][] = [
    ['agent', `http://${SLOT}.${domain}`, `http://${SLOT}-${domain}`, `http://${domain}/${SLOT}`],
    ['vscode', `http://vscode-${SLOT}.${domain}`, `http://vscode-${SLOT}-${domain}`, `http://${domain}/${SLOT}/vscode`],
    [
      'worker-1',
      `http://work-1-${SLOT}.${domain}`,
      `http://work-1-${SLOT}-${domain}`,
      `http://${domain}/${SLOT}/work-1`,
    ],
    [
      'worker-2',
      `http://work-2-${SLOT}.${domain}`,
      `http://work-2-${SLOT}-${domain}`,
      `http://${domain}/${SLOT}/work-2`,
    ],
    [5173, `http://5173-${SLOT}.${domain}`, `http://5173-${SLOT}-${domain}`, `http://${domain}/${SLOT}/5173`],
  ];
  for (const [port, host, sibling, path] of cases) {
    const address = (form: GatewayAddress['form']) => ({ form, protocol: 'http', domain });
    t.equal(sandboxUrl(address('host'), SLOT, port), host);
    t.equal(sandboxUrl(address('sibling'), SLOT, port), sibling);
    t.equal(sandboxUrl(address('path'), SLOT, port), path);
    for (const url of [host, sibling]) t.same(parseHost(new URL(url).host, domain), { slot: SLOT, port }, url);
  }
});

t.test('addresses: what is none', async (t) => {
  const domain = 'sandbox.localhost:3001';
  for (const host of [
    domain,
    `.${domain}`,
    `x.${domain}`,
    `${SLOT}x.${domain}`,
    `${SLOT}.x.${domain}`,
    `-${SLOT}.${domain}`,
    `00-${SLOT}.${domain}`,
    `65536-${SLOT}.${domain}`,
    `work-3-${SLOT}.${domain}`,
    `${SLOT}.othersandbox.localhost`,
    `${SLOT}sandbox.localhost`,
    'example.org',
    '',
  ])
    t.equal(parseHost(host, domain), undefined, host);
  t.same(
    parseHost(`${SLOT.toUpperCase()}.Sandbox.LocalHost`, domain),
    { slot: SLOT, port: 'agent' },
    'names have no case',
  );
  t.equal(parseLabel('agent-sabcdefghijklm'), undefined);
  for (const text of ['0', '01', '65536', '-1', '1e3', ' 80', 'agent', 'x'])
    t.equal(parsePortRef(text), undefined, text);
  t.equal(parsePortRef(''), 'agent');
  t.equal(parsePortRef('65535'), 65535);
});

t.test('entry addresses carry the pass and the way on', async (t) => {
  const address = { form: 'host', protocol: 'https', domain: 'box.example.org' } as const;
  const url = new URL(entryUrl(address, { slot: SLOT, port: 'vscode', pass: 'a.b', to: '/?folder=/workspace&x=1' }));
  t.equal(url.origin, `https://vscode-${SLOT}.box.example.org`);
  t.equal(url.pathname, '/_sandlot/enter');
  t.same(Object.fromEntries(url.searchParams), { pass: 'a.b', to: '/?folder=/workspace&x=1' });
  t.equal(
    entryUrl({ ...address, form: 'path' }, { slot: SLOT, port: 3000, pass: 'a.b' }),
    `https://box.example.org/${SLOT}/3000/_sandlot/enter?pass=a.b`,
  );
});

t.test('passes: signed, for one use, until they expire', async (t) => {
  const now = Date.parse('2026-11-23T12:00:00Z');
  const pass = { use: 'entry', slot: SLOT, owner: 'älice|', epoch: 3, exp: now / 1000 + 60 } as const;
  const text = signPass(SECRET, pass);
  t.same(verifyPass(SECRET, text, 'entry', now), pass);
  t.match(text, /^[\w-]+\.[\w-]+$/, 'fits into URLs and cookies as it is');
  t.equal(verifyPass(SECRET, text, 'cookie', now), undefined);
  t.equal(verifyPass(SECRET, text, 'entry', now + 60_000), undefined);
  const share = { use: 'share', slot: SLOT, share: 'team', exp: now / 1000 + 60 } as const;
  t.same(verifyShare(SECRET, signPass(SECRET, share), 'share', now), share);
  t.equal(verifyShare(SECRET, signPass(SECRET, share), 'guest', now), undefined);
  t.equal(verifyShare(SECRET, signPass(SECRET, share), 'share', now + 60_000), undefined);
  t.equal(verifyShare(SECRET, text, 'share', now), undefined, 'an entry pass is no share link');
  t.equal(verifyPass(SECRET, signPass(SECRET, share), 'entry', now), undefined, 'nor the other way round');
  t.equal(verifyPass(`${SECRET}x`, text, 'entry', now), undefined);
  const [payload = '', signature = ''] = text.split('.');
  const forged = Buffer.from(JSON.stringify({ ...pass, owner: 'mallory' })).toString('base64url');
  for (const bad of [
    `${forged}.${signature}`,
    `${payload}.`,
    payload,
    `.${signature}`,
    '',
    '.',
    `${payload}.${signature}x`,
    'x'.repeat(5000),
  ])
    t.equal(verifyPass(SECRET, bad, 'entry', now), undefined, bad.slice(0, 40));
  t.equal(
    verifyPass(SECRET, signPass(SECRET, { ...pass, epoch: 1.5 }), 'entry', now),
    undefined,
    'signed, but not a pass',
  );
});
