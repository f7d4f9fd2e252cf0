import type { audit } from "../../schema/db/index.ts";
import { csvLine } from "./rules.ts";

type Row = typeof audit.$inferSelect;
export const EXPORT_FORMATS = ["csv", "json"] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number];

const TYPES: Readonly<Record<ExportFormat, string>> = { csv: "text/csv; charset=utf-8", json: "application/json" };

/** Saved as a file, and kept by no cache on the way. */
export const exportHeaders = (format: ExportFormat) => ({
  "content-type": TYPES[format],
  "content-disposition": `attachment; filename="chelar-audit.${format}"`,
  "cache-control": "no-store",
});

const STEP = 500;
const COLUMNS = ["id", "at", "actor", "action", "subject", "detail"] as const;

const at = (row: Row): string => new Date(row.at).toISOString();

const FORMATS = {
  csv: {
    head: csvLine(COLUMNS),
    row: (row: Row) => csvLine([row.id, at(row), row.actor, row.action, row.subject, row.detail]),
    foot: "",
  },
  json: {
    head: "[",
    row: (row: Row, isFirst: boolean) => `${isFirst ? "\n" : ",\n"}${JSON.stringify({ ...row, at: at(row) })}`,
    foot: "\n]\n",
  },
} as const satisfies Record<ExportFormat, { head: string; row: (row: Row, isFirst: boolean) => string; foot: string }>;

/** Read in steps as it is taken: years of an audit never stand in memory, and who stops reading stops the queries. */
export function auditStream(
  read: (below: number | null, limit: number) => Promise<Row[]>,
  format: ExportFormat,
): ReadableStream<Uint8Array> {
  const { head, row, foot } = FORMATS[format];
  const encoder = new TextEncoder();
  let below: number | null = null;
  return new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(encoder.encode(head)),
    async pull(controller) {
      const rows: Row[] = await read(below, STEP);
      const text = rows.map((one, index) => row(one, below === null && index === 0)).join("");
      below = rows.at(-1)?.id ?? below;
      const isEnd = rows.length < STEP;
      if (text || isEnd) controller.enqueue(encoder.encode(text + (isEnd ? foot : "")));
      if (isEnd) controller.close();
    },
  });
}
