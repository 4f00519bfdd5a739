/** The JSONPath of printer columns and scale paths: fields, indexes, wildcards and equality filters. */
import { isRecord } from './object.js';

type Step = (values: unknown[]) => unknown[];

const TOKEN =
  /^(?:\.([A-Za-z0-9_$-]+)|\.\*|\[\*\]|\[(-?\d+)\]|\['([^']+)'\]|\[\?\(@((?:\.[\w-]+)+)\s*==\s*(?:"([^"]*)"|'([^']*)'|(\w+))\)\])/;

const child =
  (name: string): Step =>
  (values) =>
    values.flatMap((value) => (isRecord(value) && value[name] !== undefined ? [value[name]] : []));

function step(match: RegExpExecArray): Step {
  const [all, field, index, quoted, path, ...literals] = match;
  const name = field ?? quoted;
  if (name !== undefined) return child(name);
  if (index !== undefined)
    return (values) =>
      values.flatMap((value) =>
        Array.isArray(value) && value.at(Number(index)) !== undefined ? [value.at(Number(index)) as unknown] : [],
      );
  if (path !== undefined) {
    const wanted = literals.find((literal) => literal !== undefined) ?? '';
    const keys = path.split('.').slice(1);
    const holds = (item: unknown) =>
      keys.reduce<unknown>((here, key) => (isRecord(here) ? here[key] : undefined), item);
    return (values) =>
      values.flatMap((value) => (Array.isArray(value) ? value.filter((item) => String(holds(item)) === wanted) : []));
  }
  if (all === '.*' || all === '[*]')
    return (values) =>
      values.flatMap((value) =>
        Array.isArray(value) ? (value as unknown[]) : isRecord(value) ? Object.values(value) : [],
      );
  return () => [];
}

/** Compiles a path; what it cannot read finds nothing. */
export function jsonPath(path: string): (value: unknown) => unknown[] {
  const steps: Step[] = [];
  let rest = path.replace(/\\\./g, '\u0001');
  while (rest !== '') {
    const match = TOKEN.exec(rest);
    if (match === null) return () => [];
    steps.push(step(match));
    rest = rest.slice(match[0].length);
  }
  return (value) => steps.reduce<unknown[]>((values, next) => next(values), [value]);
}
