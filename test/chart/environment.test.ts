/** What the chart sets and what the programs read are the same variables. From the texts: it needs neither helm nor a cluster. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { packageRoot } from '../../process/root.js';

const root = packageRoot();
const text = (...path: string[]) => readFileSync(join(root, ...path), 'utf8');
const all = (pattern: RegExp, source: string) => [...source.matchAll(pattern)].map(([, found = '']) => found);

/** Keys of the schemas in a program's config.ts and settings.ts files, which alone read the environment. */
function read(program: string): string[] {
  const files = readdirSync(join(root, program), { recursive: true, encoding: 'utf8' });
  const sources = files.filter((file) => /(^|\/)(config|settings)\.ts$/.test(file)).map((file) => text(program, file));
  return all(/^ {2,4}([A-Z][A-Z0-9_]*):/gm, sources.join('\n'));
}

/** Names in the program's template and in the helpers that it includes. */
function set(template: string): string[] {
  const helpers = text('helm/sandlot/templates/_helpers.tpl');
  const blocks = all(/include "(sandlot\.\w+Env)"/g, template).map((name) => {
    const [, block = ''] = helpers.split(`{{- define "${name}" -}}`);
    return block.split('\n{{- define')[0] ?? '';
  });
  return all(/name: ([A-Z][A-Z0-9_]*)\b/g, [template, ...blocks].join('\n'));
}

const VALUES = { operator: 'operator', gateway: 'gateway', apiserver: 'apiServer' };

for (const [program, values] of Object.entries(VALUES))
  t.test(program, async (t) => {
    const template = text(`helm/sandlot/templates/${program}.yaml`);
    const known = new Set(read(program));
    const given = set(template);
    t.ok(
      known.has('SANDLOT_SECRET') && known.has('LOG_LEVEL') && given.includes('SANDLOT_SECRET'),
      'the texts are understood',
    );
    t.same(
      given.filter((name) => !known.has(name) && name !== 'NODE_EXTRA_CA_CERTS'),
      [],
      'the chart sets nothing that nobody reads (one is for Node itself)',
    );
    t.match(template, `.Values.${values}.env`, 'whatever it does not set can be set');
    const sources = `${text(program, 'main.ts')}${text(program, 'config.ts')}`;
    const [help = ''] = all(/`(sandlot (?:operator|gateway|apiserver)[^`]*)`/g, sources);
    t.same(
      [...known].filter((name) => !new RegExp(`\\b${name}\\b`).test(help)),
      [],
      `and is named by sandlot ${program} --help`,
    );
  });
