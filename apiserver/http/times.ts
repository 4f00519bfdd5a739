/**
 * Times on the wire. Rows say UTC with `Z`; start tasks and sandboxes that are read back say UTC without a zone, because the
 * recorded server does and its clients add the zone themselves; event times have no zone and six digits.
 */
export const isoZ = (date: Date): string => date.toISOString();
export const isoNaive = (date: Date): string => date.toISOString().replace('Z', '');

/** An event's time in the form that sorts as text; undefined when it is no time. */
export function eventTime(value: string): string | undefined {
  const match = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d)?$/i.exec(value);
  if (match === null) return undefined;
  const [, day, time, fraction = '', zone] = match;
  const micros = fraction.padEnd(6, '0').slice(0, 6);
  if (zone === undefined) return `${day}T${time}.${micros}`;
  const shifted = Date.parse(`${day}T${time}${zone}`);
  return Number.isNaN(shifted) ? undefined : `${new Date(shifted).toISOString().slice(0, 19)}.${micros}`;
}
