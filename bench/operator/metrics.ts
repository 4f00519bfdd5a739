/** Reads the text format of Prometheus as far as the benchmark needs it. */

/** Samples by `name{labels}` as they stand in the text. */
export type Metrics = ReadonlyMap<string, number>;

export function readMetrics(text: string): Metrics {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => {
      const space = line.lastIndexOf(' ');
      return [line.slice(0, space), Number(line.slice(space + 1))];
    }),
  );
}

/** The quantile of what a histogram counted between two readings, interpolated in its bucket; NaN without observations. */
export function quantileBetween(
  before: Metrics,
  after: Metrics,
  histogram: { name: string; labels: string },
  quantile: number,
): number {
  const buckets = [...after]
    .flatMap(([key, value]) => {
      const le =
        key.startsWith(`${histogram.name}_bucket{`) && key.includes(histogram.labels) && /le="([^"]+)"/.exec(key);
      return le ? [{ le: le[1] === '+Inf' ? Infinity : Number(le[1]), count: value - (before.get(key) ?? 0) }] : [];
    })
    .sort((a, b) => a.le - b.le);
  const total = buckets.at(-1)?.count ?? 0;
  const rank = total * quantile;
  const index = buckets.findIndex(({ count }) => count >= rank);
  const [low, high] = [buckets[index - 1] ?? { le: 0, count: 0 }, buckets[index]];
  if (total === 0 || high === undefined) return NaN;
  if (high.le === Infinity) return low.le;
  return low.le + ((high.le - low.le) * (rank - low.count)) / (high.count - low.count);
}
