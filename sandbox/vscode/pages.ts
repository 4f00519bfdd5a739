/** What the editor's port shows while there is no editor. Pure. */
import type { InstallProgress } from './service.js';

const escape = (text: string): string => text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

export function page(title: string, body: string, refreshSeconds?: number): string {
  const refresh = refreshSeconds === undefined ? '' : `<meta http-equiv="refresh" content="${refreshSeconds}">`;
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${escape(title)}</title>${refresh}
<meta name="viewport" content="width=device-width"><style>:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}
main{max-width:32rem;margin:4rem auto;padding:0 1rem}progress{width:100%}button{font:inherit;padding:.4rem .8rem}</style></head>
<body><main><h1>${escape(title)}</h1>${body}</main></body></html>`;
}

export const INSTALL_PATH = '/-/install';

export function installPage({ state, message, percent }: InstallProgress): string {
  if (state === 'installing')
    return page(
      'Installing VS Code',
      `<p>${escape(message)}</p><progress max="100" value="${percent}" aria-label="Installation"></progress>`,
      2,
    );
  const failure = state === 'failed' ? `<p role="alert">${escape(message)}</p>` : '';
  return page(
    'VS Code is not installed yet',
    `${failure}<p>Installing it takes about a minute and 300 MB, once for this machine.</p>
<form method="post" action=".${INSTALL_PATH}"><button>Install VS Code</button></form>`,
  );
}

/** Goes on to the editor (query as given here), where it can run: embedded in a browser that blocks storage it cannot. */
export const OPEN_PATH = '/-/open';

export const openPage = (): string =>
  page(
    'Opening VS Code',
    `<p id="blocked" role="alert" hidden>This browser keeps embedded pages from storing anything, and VS Code does not run without.
Use “Open in a new tab”.</p>
<script>try { localStorage.length; location.replace('../' + location.search); }
catch { document.getElementById('blocked').hidden = false; document.querySelector('h1').textContent = 'VS Code cannot be shown here'; }</script>`,
  );

export const problemPage = (message: string): string => page('VS Code cannot be shown', `<p>${escape(message)}</p>`);
