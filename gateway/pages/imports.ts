/** Import maps in path form (HTML, 8.1.5.2): addresses and scopes are URLs, and so are specifiers that begin with a slash. Pure. */
import { belowPrefix, type Site } from './urls.js';

type Json = Record<string, unknown>;
const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The map as the browser needs it; as it is when it is none. */
export function rewriteImportMap(text: string, site: Site): string {
  let map: unknown;
  try {
    map = JSON.parse(text);
  } catch {
    return text;
  }
  if (!isObject(map)) return text;
  const { imports, scopes, integrity } = map;
  const result: Json = { ...map };
  if (isObject(imports)) result['imports'] = addressesBelow(imports, site);
  if (isObject(scopes))
    result['scopes'] = withKeysBelow(
      mapValues(scopes, (inner) => (isObject(inner) ? addressesBelow(inner, site) : inner)),
      site,
    );
  if (isObject(integrity)) result['integrity'] = withKeysBelow(integrity, site);
  // A value must not be able to end the script.
  return JSON.stringify(result).replaceAll('<', '\\u003c');
}

function addressesBelow(imports: Json, site: Site): Json {
  const below = mapValues(imports, (address) => (typeof address === 'string' ? belowPrefix(address, site) : address));
  return withKeysBelow(below, site);
}

/** Both spellings: modules say `./x`, which is below the prefix by then, or `/x`, which nobody rewrites in them. */
function withKeysBelow(object: Json, site: Site): Json {
  const below = Object.entries(object).map(([key, value]) => [belowPrefix(key, site), value] as const);
  return Object.fromEntries([...Object.entries(object), ...below]);
}

const mapValues = (object: Json, change: (value: unknown) => unknown): Json =>
  Object.fromEntries(Object.entries(object).map(([key, value]) => [key, change(value)]));
