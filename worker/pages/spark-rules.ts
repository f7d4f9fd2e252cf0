import type { Sample } from "../tenants/types.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** An agent that is awake is told of every 15 minutes at least: a part without a sample is one that it slept through. */
const PARTS = 72;

/** One curve: what each part of the last day came to. Null: nobody looked. */
export interface Curve {
  parts: readonly (number | null)[];
  /** Of the samples themselves; null without any. */
  range: { least: number; most: number } | null;
  sum: number;
}

/** `peak`: the highest of each part; `sum`: of what is counted since the sample before. */
export function curveOf(
  samples: readonly Sample[],
  nowMs: number,
  pick: (sample: Sample) => number | null,
  how: "peak" | "sum",
): Curve {
  const parts: (number | null)[] = Array.from({ length: PARTS }, () => null);
  const values: number[] = [];
  for (const sample of samples) {
    const value = pick(sample);
    const part = Math.floor(((Date.parse(sample.at) - (nowMs - DAY_MS)) / DAY_MS) * PARTS);
    if (value === null || part < 0 || part >= PARTS) continue;
    values.push(value);
    const before = parts[part] ?? null;
    parts[part] = before === null ? value : how === "sum" ? before + value : Math.max(before, value);
  }
  const range = values.length > 0 ? { least: Math.min(...values), most: Math.max(...values) } : null;
  return { parts, range, sum: values.reduce((total, value) => total + value, 0) };
}

const WIDTH = 216;
const HEIGHT = 40;
export const SPARK_BOX = `0 0 ${WIDTH} ${HEIGHT}`;

/** Bars, as one path. What is not zero is seen, however small it is beside `full`. */
export function barsPath(parts: Curve["parts"], full: number): string {
  const step = WIDTH / PARTS;
  return parts
    .map((value, index) => {
      if (value === null) return "";
      const share = full > 0 ? Math.min(1, value / full) : 0;
      const height = Math.max(value > 0 ? 1.5 : 0.75, Math.round(share * HEIGHT * 10) / 10);
      return `M${index * step} ${HEIGHT}v-${height}h${step - 0.6}v${height}z`;
    })
    .join("");
}
