export interface Summary {
  min: number;
  median: number;
  p95: number;
  max: number;
  count: number;
}

export function summary(values: readonly number[]): Summary {
  if (values.length === 0) throw new RangeError("a summary needs at least one value");
  const sorted = [...values].sort((a, b) => a - b);
  const at = (fraction: number) => sorted[Math.min(sorted.length - 1, Math.floor(fraction * sorted.length))] as number;
  return { min: at(0), median: at(0.5), p95: at(0.95), max: at(1), count: sorted.length };
}

export const milliseconds = (value: number): string => `${Math.round(value)} ms`;

/** Rows of summaries in milliseconds, for a person. */
export function table(rows: Readonly<Record<string, Summary>>): string {
  const cells = (values: readonly string[]) =>
    values.map((value, index) => (index === 0 ? value.padEnd(28) : value.padStart(10))).join("");
  return [
    cells(["", "min", "median", "p95", "max", "runs"]),
    ...Object.entries(rows).map(([name, { min, median, p95, max, count }]) =>
      cells([name, ...[min, median, p95, max].map(milliseconds), String(count)]),
    ),
  ].join("\n");
}
