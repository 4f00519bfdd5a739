/** Holds real answers against the schemas of the OpenAPI document that the same server shows. */
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';

interface Operation {
  responses: Record<string, { content?: Record<string, { schema?: object }> }>;
}
export interface Document {
  paths: Record<string, Record<string, Operation>>;
}

export interface Given {
  method: string;
  url: string;
  status: number;
  body: unknown;
}

export interface AnswerCheck {
  /** Whether the document says what this route answers; false for what it does not have. */
  isTold(method: string, url: string): boolean;
  /** What is wrong with an answer of status 2XX, in words; undefined when nothing is, or nothing is told. */
  wrong(given: Given): string | undefined;
}

export function checkAnswers({ paths }: Document): AnswerCheck {
  const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: false });
  const checks = new Map<string, ValidateFunction>();
  const routes = Object.entries(paths)
    .map(([path, methods]) => ({ path, methods, form: formOf(path) }))
    // Literal segments before parameters: `search` is none of the ids.
    .sort((a, b) => (a.path.replace(/\{\w+\}/g, '~') < b.path.replace(/\{\w+\}/g, '~') ? -1 : 1));
  const find = (method: string, url: string) => {
    const { pathname } = new URL(url, 'http://localhost');
    const found = routes.find(({ form, methods }) => form.test(pathname) && method.toLowerCase() in methods);
    const operation = found?.methods[method.toLowerCase()];
    return found === undefined || operation === undefined
      ? undefined
      : { name: `${method.toUpperCase()} ${found.path}`, operation };
  };
  return {
    isTold: (method, url) => Object.keys(schemaOf(find(method, url)?.operation) ?? {}).length > 0,
    wrong({ method, url, status, body }) {
      const found = find(method, url);
      const schema = schemaOf(found?.operation);
      if (found === undefined || schema === undefined || status < 200 || status > 299) return undefined;
      const check = checks.get(found.name) ?? ajv.compile(schema);
      checks.set(found.name, check);
      if (check(body)) return undefined;
      const [error] = check.errors ?? [];
      const where = `${error?.instancePath ?? ''} ${error?.message ?? ''} ${JSON.stringify(error?.params)}`;
      return `${found.name} answers what the document does not say: ${where} in ${JSON.stringify(body).slice(0, 500)}`;
    },
  };
}

const schemaOf = (operation: Operation | undefined): object | undefined =>
  operation?.responses['2XX']?.content?.['application/json']?.schema;

const formOf = (path: string): RegExp =>
  new RegExp(`^${path.replace(/[.*+?^$()|[\]\\]/g, '\\$&').replace(/\{\w+\}/g, '[^/]+')}$`);
