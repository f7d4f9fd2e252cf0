import type { DatabaseSync } from "node:sqlite";
import { type Report, report, type UnnumberedReport } from "../schema/protocol/index.ts";

const MAX_DETAIL_CHARACTERS = 500;

export type ReportRows = ReturnType<typeof reportRows>;

/** The outbox towards the edge: numbered when written, kept until the edge has said that it has them. */
export function reportRows(db: DatabaseSync) {
  const insert = db.prepare("INSERT INTO reports (type, body) VALUES (?, ?)");
  const dropOld = db.prepare("DELETE FROM reports WHERE type = ?");
  const oldest = db.prepare("SELECT seq, body FROM reports ORDER BY seq LIMIT ?");
  const prune = db.prepare("DELETE FROM reports WHERE seq <= ?");
  const lastSeq = db.prepare("SELECT seq FROM sqlite_sequence WHERE name = 'reports'");
  const count = db.prepare("SELECT count(*) AS n FROM reports");
  let listener = () => {};

  return {
    /** Checked here, so that no report can ever make the edge refuse the batch that it is in. */
    add(unnumbered: UnnumberedReport): void {
      const clipped =
        "detail" in unnumbered && unnumbered.detail !== undefined
          ? { ...unnumbered, detail: unnumbered.detail.slice(0, MAX_DETAIL_CHARACTERS) }
          : unnumbered;
      const { seq: _, ...body } = report.parse({ ...clipped, seq: 1 });
      // Of the whole host only the newest word counts: hours without the edge must not fill the disk.
      if (body.type === "host.inventory" || body.type === "host.posture") dropOld.run(body.type);
      insert.run(body.type, JSON.stringify(body));
      queueMicrotask(() => listener());
    },

    /** The oldest reports, at most `count` and as many as fit `bytes` of JSON (at least one). */
    pending(count: number, bytes: number): Report[] {
      const batch: Report[] = [];
      let used = 0;
      for (const row of oldest.iterate(count)) {
        const body = row.body as string;
        used += Buffer.byteLength(body) + 24;
        if (batch.length > 0 && used > bytes) break;
        batch.push({ ...JSON.parse(body), seq: row.seq as number });
      }
      return batch;
    },

    acknowledge(seq: number): void {
      prune.run(seq);
    },

    /** The highest number ever given; 0 before the first. */
    lastSeq: (): number => (lastSeq.get()?.seq as number | undefined) ?? 0,

    /** How many the edge has not confirmed yet. */
    waiting: (): number => count.get()?.n as number,

    /** Called soon after new reports were written, once per report. */
    onNew(call: () => void): void {
      listener = call;
    },
  };
}
