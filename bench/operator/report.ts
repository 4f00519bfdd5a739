/** One line of the table: what was measured beside what it should be. */
export interface Row {
  what: string;
  value: number;
  unit: string;
  /** Without: for scale only. */
  target?: { limit: number; better: 'lower' | 'higher' };
}

export function table(rows: Row[]): string {
  const cells = [
    ['measure', 'figure', 'target', ''],
    ...rows.map(({ what, value, unit, target }) => [
      what,
      `${figure(value)} ${unit}`,
      target === undefined ? '' : `${target.better === 'lower' ? '≤' : '≥'} ${target.limit} ${unit}`,
      target === undefined ? '' : met(value, target) ? 'met' : 'MISSED',
    ]),
  ];
  const widths = cells[0]?.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0))) ?? [];
  const lines = cells.map((row) => `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`);
  const rule = `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`;
  return [lines[0], rule, ...lines.slice(1)].join('\n');
}

const met = (value: number, { limit, better }: NonNullable<Row['target']>): boolean =>
  better === 'lower' ? value <= limit : value >= limit;

const figure = (value: number): string => (Number.isInteger(value) ? String(value) : value.toFixed(value < 10 ? 2 : 1));
