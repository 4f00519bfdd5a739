/** Writes contracts/resources.gen.ts from crds/: the YAML is the one source of truth for the custom resources' shapes. */
import { readFileSync, writeFileSync } from 'node:fs';
import { compile, type JSONSchema } from 'json-schema-to-typescript';
import { parse } from 'yaml';

const kinds = [
  ['sandboxes', 'Sandbox'],
  ['sandboxtemplates', 'SandboxTemplate'],
  ['sandboxpools', 'SandboxPool'],
] as const;

interface Crd {
  spec: { versions: { schema: { openAPIV3Schema: { properties: { spec: JSONSchema; status: JSONSchema } } } }[] };
}

/** Kubernetes' extensions in the words of plain JSON Schema: int-or-string, and objects closed unless they say otherwise. */
function plain(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(plain);
  if (typeof node !== 'object' || node === null) return node;
  const source = node as Record<string, unknown>;
  if (source['x-kubernetes-int-or-string']) return { description: source.description, type: ['integer', 'string'] };
  const open = source['x-kubernetes-preserve-unknown-fields'] === true;
  const copy = Object.fromEntries(
    Object.entries(source)
      // minItems/maxItems would become tuple unions; bounds are the API server's business.
      .filter(([key]) => !key.startsWith('x-kubernetes') && key !== 'maxItems' && key !== 'minItems')
      .map(([key, value]) => [key, plain(value)]),
  );
  if (copy.type === 'object' && copy.additionalProperties === undefined) copy.additionalProperties = open;
  return copy;
}

const options = {
  bannerComment: '',
  additionalProperties: false,
  style: { singleQuote: true, printWidth: 120 },
} as const;
let output = '// Generated from crds/ by scripts/generate-types.ts; do not edit.\n';
for (const [file, kind] of kinds) {
  const crd = parse(readFileSync(`crds/${file}.yaml`, 'utf8')) as Crd;
  const schema = crd.spec.versions[0]!.schema.openAPIV3Schema.properties;
  for (const part of ['spec', 'status'] as const) {
    const name = kind + (part === 'spec' ? 'Spec' : 'Status');
    output += `\n${await compile(plain(schema[part]) as JSONSchema, name, options)}`;
  }
}
writeFileSync('contracts/resources.gen.ts', output);
