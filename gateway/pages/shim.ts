/**
 * What a page in path form is given so that addresses that its scripts put together lead below the prefix: sockets, which a
 * redirect cannot lead there (`strayPrefix` of ../locate.ts does that with the rest), and modules, which must have one address
 * each. A page whose policy forbids inline scripts goes without. Pure.
 */
import type { Site } from './urls.js';

/** Addresses on this host that name no sandbox are meant below the prefix. */
const SOCKETS = `(p=>{const W=WebSocket;window.WebSocket=new Proxy(W,{construct(t,[u,...a],n){try{const r=new URL(u,document.baseURI);if(r.host===location.host&&!/^\\/s[a-z2-7]{13}(\\/|$)/.test(r.pathname)&&!r.pathname.startsWith(p+'/')){r.pathname=p+r.pathname;u=r.href.replace(/^http/,'ws')}}catch{}return Reflect.construct(t,[u,...a],n)}})})`;

/** To stand first in the head. */
export const socketShim = ({ prefix }: Site): string =>
  `<script>${SOCKETS}(${JSON.stringify(prefix)});document.currentScript.remove()</script>`;

/** To stand before the first module of a page without a map of its own: the longest key that fits counts. */
export const moduleMap = ({ prefix }: Site): string =>
  `<script type="importmap">${JSON.stringify({ imports: { '/': `${prefix}/`, [`${prefix}/`]: `${prefix}/` } })}</script>`;
