import t, { type Test } from 'tap';
import { parseResponse } from '../http/response.js';
import { createCssRewriter } from './css.js';
import { createHtmlRewriter } from './html.js';
import { rewriteImportMap } from './imports.js';
import { createPageRewriter, headOfRewritten } from './rewriter.js';
import { moduleMap, socketShim } from './shim.js';
import { apply, belowPrefix, editLinks, editRefresh, editSourceSet } from './urls.js';

const SITE = { prefix: '/p', base: 'http://h' };
const all = (create: typeof createCssRewriter, text: string, size: number) => {
  const rewriter = create(SITE);
  let out = '';
  for (let at = 0; at < text.length; at += size) out += rewriter.push(text.slice(at, at + size));
  return out + rewriter.end();
};
const withoutHelp = (text: string) => text.replace(socketShim(SITE), '').replace(moduleMap(SITE), '');
/** `expected` undefined: unchanged. However the text is cut. */
const table = (t: Test, create: typeof createCssRewriter, cases: readonly (readonly [string, string?])[]) => {
  for (const [text, expected = text] of cases)
    for (const size of [1, 2, 3, 7, 64, 100_000])
      t.equal(withoutHelp(all(create, text, size)), expected, `${text} by ${size}`);
};

t.test('one URL', async (t) => {
  const cases: [string, string?][] = [
    ['/a', '/p/a'],
    ['/', '/p/'],
    ['/p/a'],
    ['/p'],
    ['/p?x'],
    ['/pa', '/p/pa'],
    ['a/b'],
    ['#/a'],
    ['//other/x'],
    ['/\\other/x'],
    ['http://h/x', 'http://h/p/x'],
    ['http://h/p/x'],
    ['http://h.evil/x'],
    ['https://h/x'],
    ['javascript:/x/'],
    ['data:text/css,/x'],
    [''],
  ];
  for (const [url, expected = url] of cases) t.equal(belowPrefix(url, SITE), expected, url);
});

t.test('lists of URLs, refreshes, links', async (t) => {
  const sets: [string, string?][] = [
    ['/a.png', '/p/a.png'],
    ['/a.png 1x, /b.png 2x', '/p/a.png 1x, /p/b.png 2x'],
    [' , /a.png,/b.png 2x', ' , /p/a.png,/b.png 2x'],
    ['/a.png, /b.png', '/p/a.png, /p/b.png'],
    ['/a,b.png 100w,\n\t/c.png 2x', '/p/a,b.png 100w,\n\t/p/c.png 2x'],
    ['data:image/png;base64,/x 1x, x.png 2x, //o/y 3x'],
    ['/a (1, /b) 2x, /c', '/p/a (1, /b) 2x, /p/c'],
    ['/a (never closed, /b', '/p/a (never closed, /b'],
    [',,,'],
    [''],
  ];
  for (const [set, expected = set] of sets) t.equal(apply(set, editSourceSet(set, 0, SITE)), expected, set);
  const refreshes: [string, string?][] = [
    ['5; url=/x', '5; url=/p/x'],
    ["0;URL = '/x'", "0;URL = '/p/x'"],
    ['0, /x', '0, /p/x'],
    ['0 /x', '0 /p/x'],
    ['.5;url=http://h/x', '.5;url=http://h/p/x'],
    ['5'],
    ['5; url=x'],
    ['5; url=//o/'],
    ['/x'],
  ];
  for (const [text, expected = text] of refreshes) t.equal(apply(text, editRefresh(text, 0, SITE)), expected, text);
  const links = '</a>; rel=preload, < /b>; rel=next, <c>, <//d/>, <http://h/e>; title="x"';
  t.equal(
    apply(links, editLinks(links, 0, SITE)),
    '</p/a>; rel=preload, < /p/b>; rel=next, <c>, <//d/>, <http://h/p/e>; title="x"',
  );
});

t.test('style sheets', async (t) =>
  table(t, createCssRewriter, [
    ['a{background:url(/x.png)}', 'a{background:url(/p/x.png)}'],
    [`a{src:url( "/x" ),URL('/y'),url(\n/z)}`, `a{src:url( "/p/x" ),URL('/p/y'),url(\n/p/z)}`],
    [
      '@import "/a.css";@IMPORT \'/b\' screen;@import url(/c)',
      '@import "/p/a.css";@IMPORT \'/p/b\' screen;@import url(/p/c)',
    ],
    ['a{b:url(http://h/x)}', 'a{b:url(http://h/p/x)}'],
    ['a{b:url(/p/x) url(/p) url(x) url(//o/x) url(data:a/b) url() xurl(/x) "/x"}'],
    ['url('],
    ['url(/', 'url(/p/'],
    ['\u00e4\u00f6 url(/\u00fc)', '\u00e4\u00f6 url(/p/\u00fc)'],
    [`${'a{b:url(/x)}'.repeat(50)}`, `${'a{b:url(/p/x)}'.repeat(50)}`],
  ]),
);

t.test('import maps', async (t) => {
  const of = (map: unknown) => JSON.parse(rewriteImportMap(JSON.stringify(map), SITE)) as unknown;
  t.same(
    of({
      imports: { app: '/app.js', '/x.js': './y.js', 'lib/': 'https://cdn/lib/', off: null },
      scopes: { '/part/': { app: '/other.js' }, odd: 5 },
      integrity: { '/app.js': 'sha384-x' },
      more: ['/kept'],
    }),
    {
      imports: { app: '/p/app.js', '/x.js': './y.js', '/p/x.js': './y.js', 'lib/': 'https://cdn/lib/', off: null },
      scopes: { '/part/': { app: '/p/other.js' }, '/p/part/': { app: '/p/other.js' }, odd: 5 },
      integrity: { '/app.js': 'sha384-x', '/p/app.js': 'sha384-x' },
      more: ['/kept'],
    },
  );
  for (const text of ['', 'no json', '[]', '5', 'null', '{"imports":']) t.equal(rewriteImportMap(text, SITE), text);
  t.equal(rewriteImportMap('{"imports":{"\\u003c/script>":"/x"}}', SITE), '{"imports":{"\\u003c/script>":"/p/x"}}');
  t.equal(rewriteImportMap('{"imports":{"__proto__":"/x"}}', SITE), '{"imports":{"__proto__":"/p/x"}}');
});

t.test('pages', async (t) =>
  table(t, createHtmlRewriter, [
    ['<a href="/x">', '<a href="/p/x">'],
    ["<script type=module src='/@vite/client'></script>", "<script type=module src='/p/@vite/client'></script>"],
    ['<img src=/a.png alt="/b">', '<img src=/p/a.png alt="/b">'],
    ['<base href="/"><base href="/app/">', '<base href="/p/"><base href="/p/app/">'],
    ['<a href="//other/x"><a href="x"><a href="https://a/"><a href="/p/x">'],
    ['<a href=" /x"><a href>x<a href=""><a href=/>', '<a href=" /p/x"><a href>x<a href=""><a href=/p/>'],
    ['<form ACTION = "/go" data-href="/x">', '<form ACTION = "/p/go" data-href="/x">'],
    [
      '<button formaction=/f><video poster="/v"><object data=/o>',
      '<button formaction=/p/f><video poster="/p/v"><object data=/p/o>',
    ],
    ['<a title="a > b" href="/x">', '<a title="a > b" href="/p/x">'],
    ['<a title="<a href=\'/no\'>" href=/x>', '<a title="<a href=\'/no\'>" href=/p/x>'],
    [
      'plain href="/x" text < a href="/x"> <!-- <a href="/x"> --> <!doctype html><?x <a href="/y">',
      'plain href="/x" text < a href="/x"> <!-- <a href="/x"> --> <!doctype html><?x <a href="/y">',
    ],
    [
      '<textarea><a href="/x"></textarea><title><a href="/x"></title><a href="/x">',
      '<textarea><a href="/x"></textarea><title><a href="/x"></title><a href="/p/x">',
    ],
    [
      '<script>s = \'<a href="/x"></a>\'</script><a href=/x>',
      '<script>s = \'<a href="/x"></a>\'</script><a href=/p/x>',
    ],
    [
      '<img srcset="/a.png 1x, /b.png 2x"><source srcset=/c>',
      '<img srcset="/p/a.png 1x, /p/b.png 2x"><source srcset=/p/c>',
    ],
    [
      '<link rel=preload as=image imagesrcset="/a 1x" href="/b">',
      '<link rel=preload as=image imagesrcset="/p/a 1x" href="/p/b">',
    ],
    [
      '<link rel=stylesheet integrity="sha384-x" href="/b"><script integrity=x src=/c></script>',
      '<link rel=stylesheet data-integrity="sha384-x" href="/p/b"><script integrity=x src=/p/c></script>',
    ],
    [
      '<META content="1;url=/x" HTTP-EQUIV=Refresh><meta name=a content=/x>',
      '<META content="1;url=/p/x" HTTP-EQUIV=Refresh><meta name=a content=/x>',
    ],
    [
      '<svg><use xlink:href="/s.svg#a"/><image href=/i /></svg>',
      '<svg><use xlink:href="/p/s.svg#a"/><image href=/p/i /></svg>',
    ],
    ['<p style="background:url(/x);b:url(\'/y\')">', '<p style="background:url(/p/x);b:url(\'/p/y\')">'],
    [
      '<style>a{b:url(/x)}</style><style media=a>@import "/y"</STYLE ><a href=/z>',
      '<style>a{b:url(/p/x)}</style><style media=a>@import "/p/y"</STYLE ><a href=/p/z>',
    ],
    ['<style>a{b:url(/x)}', '<style>a{b:url(/p/x)}'],
    [
      '<script type="importmap">{"imports":{"a":"/x"}}</script><a href=/y>',
      '<script type="importmap">{"imports":{"a":"/p/x"}}</script><a href=/p/y>',
    ],
    ['<script type="importmap">{"imports":{"a":"/x"}}'],
    ['<script type="application/json">{"imports":{"a":"/x"}}</script>'],
    ['<a href="/never closed'],
    ['<a href=/x'],
    ['</a href="/x"><>'],
    ['<custom-element-of-a-long-name href=/x>', '<custom-element-of-a-long-name href=/p/x>'],
    ['\u00e4<a href="/\u00fc">\u00df', '\u00e4<a href="/p/\u00fc">\u00df'],
  ]),
);

/** The most that a rewriter keeps back at any time while `text` comes in pieces. */
function mostHeld(create: typeof createCssRewriter, text: string, size: number): number {
  const rewriter = create(SITE);
  let most = 0;
  let out = 0;
  for (let at = 0; at < text.length; at += size) {
    out += rewriter.push(text.slice(at, at + size)).length;
    most = Math.max(most, Math.min(at + size, text.length) - out);
  }
  return most;
}

t.test('what never ends is not kept', async (t) => {
  const BOUND = 65 * 1024;
  const long = 300_000;
  const hostile = [
    `<a ${'b'.repeat(long)}`,
    `<${'a'.repeat(long)} href="/x">`,
    `<a href="/${'b'.repeat(long)}`,
    `<a ${'b=c '.repeat(long / 4)}`,
    `<a ${'href=/ '.repeat(long / 7)}`,
    `<img srcset="${'(, '.repeat(long / 3)}`,
    `<script type=importmap>${'{"a":'.repeat(long / 5)}`,
    `<style>${'url('.repeat(long / 4)}`,
    `<style>url(${' '.repeat(long)}`,
    `<!--${'<a href=/'.repeat(long / 9)}`,
    '<'.repeat(long),
    `<meta http-equiv=refresh content="${' '.repeat(long)}`,
  ];
  for (const text of hostile) {
    for (const size of [1000, 16_384])
      t.ok(mostHeld(createHtmlRewriter, text, size) < BOUND, `${text.slice(0, 30)} by ${size}`);
    t.ok(withoutHelp(all(createHtmlRewriter, text, 5000)).replaceAll('/p/', '/') === text, 'nothing is lost');
  }
  t.ok(mostHeld(createCssRewriter, 'url('.repeat(long), 1000) < 1000);
  const whole = `<img srcset="${'(, '.repeat(20_000)}" src=/x>`;
  t.match(all(createHtmlRewriter, whole, 1000), / src=\/p\/x>$/, 'after a long attribute the next is read');
  const giant = `<a title="${'x'.repeat(long)}" href="/x"><a href="/y">`;
  t.match(
    all(createHtmlRewriter, giant, 1000),
    /x" href="\/x"><a href="\/p\/y">$/,
    'after a giant tag the next is read',
  );
});

t.test('which answers change, and how', async (t) => {
  const head = (fields: string, status = '200 OK') => {
    const bytes = Buffer.from(`HTTP/1.1 ${status}\r\n${fields}`, 'latin1');
    return parseResponse(bytes, 0, bytes.length);
  };
  const changes = (fields: string, status?: string) =>
    createPageRewriter(head(fields, status), SITE, true) !== undefined;
  t.equal(changes('Content-Type: text/html\r\n'), true);
  t.equal(changes('Content-Type: Text/CSS; charset=utf-8\r\nContent-Encoding: identity\r\n'), true);
  t.equal(changes('Content-Type: text/html\r\nContent-Encoding: gzip\r\n'), false);
  t.equal(changes('Content-Type: text/htmlx\r\n'), false);
  t.equal(changes('Content-Type: text/javascript\r\n'), false);
  t.equal(changes(''), false);
  t.equal(changes('Content-Type: text/html\r\n', '206 Partial Content'), false);
  const fields =
    'Content-Length: 5\r\nETag: "x"\r\nDigest: x\r\nAccept-Ranges: bytes\r\nX-Kept: 1\r\nContent-Type: text/html\r\n';
  const changed = headOfRewritten(head(fields), true);
  t.match(changed, { length: undefined, chunked: true });
  t.same(
    changed.fields.map(({ name }) => name),
    ['content-length', 'x-kept', 'content-type'],
  );
  const rewriter = createPageRewriter(head(fields), SITE, true);
  t.equal(rewriter?.push(Buffer.from('<a href="/x">')), 'f\r\n<a href="/p/x">\r\n');
  t.equal(rewriter?.push(Buffer.from('<a')), '');
  t.equal(rewriter?.end(), '2\r\n<a\r\n0\r\n\r\n');
});

t.test('what scripts are given, where it helps and once', async (t) => {
  const shim = socketShim(SITE);
  const map = moduleMap(SITE);
  t.equal(map, '<script type="importmap">{"imports":{"/":"/p/","/p/":"/p/"}}</script>');
  const cases: [string, string?][] = [
    ['<html><head lang=en><script src=a></script><head>', `<html><head lang=en>${shim}<script src=a></script><head>`],
    ['<!doctype html><p><script>1</script><script>2</script>', `<!doctype html><p>${shim}<script>1</script><script>2</script>`],
    [
      '<head></head><script>1</script><script async type=module src=a></script><script type=module>2</script>',
      `<head>${shim}</head><script>1</script>${map}<script async type=module src=a></script><script type=module>2</script>`,
    ],
    ['<script type=importmap>{}</script><script type=module>1</script>', `${shim}<script type=importmap>{}</script><script type=module>1</script>`],
    ['<p>a part of a page</p><header></header>'],
  ]; // prettier-ignore
  for (const [text, expected = text] of cases)
    for (const size of [1, 5, 100_000]) t.equal(all(createHtmlRewriter, text, size), expected, `${text} by ${size}`);
});
