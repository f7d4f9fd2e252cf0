/** What both sides tell a Prometheus: its text format, version 0.0.4, from a table of what there is. */
export type MetricTable = Readonly<Record<string, readonly [type: "gauge" | "counter", help: string]>>;
export interface Sample {
  labels?: Readonly<Record<string, string>>;
  value: number;
}
/** Every metric of the table, so that none is forgotten: one number, or one for each set of labels. */
export type Samples<T extends MetricTable> = Record<keyof T & string, number | Sample[]>;

export const METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

export function exposition<T extends MetricTable>(table: T, samples: Samples<T>): string {
  const lines: string[] = [];
  for (const [name, [type, help]] of Object.entries(table)) {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    const known: number | Sample[] = samples[name as keyof T & string];
    for (const { labels = {}, value } of typeof known === "number" ? [{ value: known }] : known) {
      const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`);
      lines.push(`${name}${pairs.length > 0 ? `{${pairs.join(",")}}` : ""} ${value}`);
    }
  }
  return `${lines.join("\n")}\n`;
}

/** A host or a wall may be called anything: nothing that it is called becomes a line of its own. */
const escaped = (text: string) => text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");

/** One sample for each key of a count. */
export const byLabel = (label: string, counts: Readonly<Record<string, number>>): Sample[] =>
  Object.entries(counts).map(([key, value]) => ({ labels: { [label]: key }, value }));
