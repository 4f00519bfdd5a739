import { readFileSync } from 'node:fs';
import t from 'tap';
import { packageRoot } from '../../process/root.js';
import { folder, startHere } from '../testing/server.js';

interface Document {
  paths: Record<string, Record<string, unknown>>;
}

/** The names of parameters say nothing: `GET /a/{}`. */
const routesOf = (document: Document): string[] =>
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path.replace(/\{[^}]+\}/g, '{}')}`),
  );

/** Lines of the table below "Not there": `| \`GET /a\`, \`/b/*\` | why |`. */
function leftOut(text: string): { pattern: string; why: string }[] {
  const section = text.slice(text.indexOf('\n## Not there'));
  return [...section.matchAll(/^\|(.*)\|([^|]*)\|$/gm)].flatMap(([, routes = '', why = '']) =>
    [...routes.matchAll(/`([^`]+)`/g)].map(([, pattern = '']) => ({ pattern, why: why.trim() })),
  );
}

const covers = (pattern: string, route: string): boolean => {
  const [, method, path = ''] = /^(?:([A-Z]+) )?(.*)$/.exec(pattern) ?? [];
  const [given, at = ''] = route.split(' ', 2);
  if (method !== undefined && method !== given) return false;
  const wanted = path.replace(/\{[^}]+\}/g, '{}');
  return wanted.endsWith('*') ? at.startsWith(wanted.slice(0, -1)) : at === wanted;
};

t.test('every route of the contract is there, or the documentation says why not', async (t) => {
  const read = (path: string) => readFileSync(`${packageRoot()}/${path}`, 'utf8');
  const contract = routesOf(JSON.parse(read('test/conformance/agent-server/openapi.json')) as Document);
  const documented = leftOut(read('docs/agent-server-differences.md'));
  const server = await startHere(folder(t));
  t.teardown(() => server.close());
  const ours = new Set(routesOf((await (await fetch(`${server.url}/openapi.json`)).json()) as Document));

  t.ok(contract.length > 150 && documented.length > 0, 'there is something to compare');
  const missing = contract.filter((route) => !ours.has(route));
  for (const route of missing)
    t.ok(documented.some(({ pattern, why }) => why !== '' && covers(pattern, route)), `documented: ${route}`); // prettier-ignore
  for (const { pattern } of documented)
    t.ok(missing.some((route) => covers(pattern, route)), `still missing: ${pattern}`); // prettier-ignore
});

t.test('the document tells what conversations are made of, and how paths are filled', async (t) => {
  const server = await startHere(folder(t));
  t.teardown(() => server.close());
  const { paths } = (await (await fetch(`${server.url}/openapi.json`)).json()) as Document;
  t.match(paths['/api/conversations']?.['post'], {
    requestBody: {
      required: true,
      content: {
        'application/json': { schema: { required: ['workspace'], properties: { max_iterations: { minimum: 1 } } } },
      },
    },
  });
  t.match(paths['/api/conversations/{conversation_id}/fork']?.['post'], {
    parameters: [{ name: 'conversation_id', in: 'path', required: true }],
    requestBody: { required: false },
  });
  const ids = Object.values(paths).flatMap((methods) =>
    Object.values(methods).map((operation) => (operation as { operationId: string }).operationId),
  );
  t.equal(new Set(ids).size, ids.length, 'each operation has a name of its own');
});
