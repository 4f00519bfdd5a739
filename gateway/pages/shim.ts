/**
 * What a page in path form is given so that addresses that its scripts put together lead below the prefix: sockets, which a
 * redirect cannot lead there (`strayPrefix` of ../locate.ts does that with the rest), the address bar, and modules, which must have one address
 * each. A page whose policy forbids inline scripts goes without. Pure.
 */
import type { Site } from './urls.js';

/** Addresses on this host that name no sandbox are meant below the prefix. */
const BELOW = `const below=u=>{try{const r=new URL(u,document.baseURI);if(r.host===location.host&&!/^\\/s[a-z2-7]{13}(\\/|$)/.test(r.pathname)&&!r.pathname.startsWith(p+'/')){r.pathname=p+r.pathname;return r.href}}catch{}return u}`;
const SOCKETS = `window.WebSocket=new Proxy(WebSocket,{construct(t,[u,...a],n){const r=below(u);return Reflect.construct(t,[r===u?u:r.replace(/^http/,'ws'),...a],n)}})`;
/** A page that left the prefix in the address bar would be a referrer that tells nothing. */
const HISTORY = `for(const k of ['pushState','replaceState']){const f=history[k];history[k]=function(s,t,u){return f.call(this,s,t,u==null?u:below(u))}}`;

/** To stand first in the head. */
export const socketShim = ({ prefix }: Site): string =>
  `<script>(p=>{${BELOW};${SOCKETS};${HISTORY}})(${JSON.stringify(prefix)});document.currentScript.remove()</script>`;

/** To stand before the first module of a page without a map of its own: the longest key that fits counts. */
export const moduleMap = ({ prefix }: Site): string =>
  `<script type="importmap">${JSON.stringify({ imports: { '/': `${prefix}/`, [`${prefix}/`]: `${prefix}/` } })}</script>`;
