/** A JSON value as Python's repr() prints it, shortened as pydantic shortens it. */
export function pythonRepr(value: unknown): string {
  const text = repr(value);
  return text.length <= 50 ? text : `${text.slice(0, 25)}...${text.slice(-24)}`;
}

function repr(value: unknown): string {
  if (value === null || value === undefined) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'string')
    return value.includes("'") && !value.includes('"') ? `"${value}"` : `'${value.replaceAll("'", "\\'")}'`;
  if (Array.isArray(value)) return `[${value.map(repr).join(', ')}]`;
  if (typeof value === 'object')
    return `{${Object.entries(value)
      .map(([name, entry]) => `${repr(name)}: ${repr(entry)}`)
      .join(', ')}}`;
  return String(value as number);
}
