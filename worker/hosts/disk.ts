import { and, eq, isNull } from "drizzle-orm";
import { alerts } from "../../schema/db/index.ts";
import type { HostInventory } from "../../schema/protocol/index.ts";
import type { Database } from "../db.ts";
import { raiseAlert, resolveAlert } from "./alerts.ts";
import type * as store from "./store.ts";

const KIND = "disk_short";

/** What a host says of the disk that its agents' data is on. A full one stops all of them at once. */
export async function noteDisk(
  db: Database,
  host: Pick<store.HostRow, "id" | "name">,
  disk: HostInventory["disk"],
  now: number,
): Promise<void> {
  if (!disk) return;
  const { freeMiB, reserveMiB } = disk;
  if (freeMiB >= reserveMiB) return void (await resolveAlert(db, KIND, host.id, now));
  const detail = `${host.name} has ${freeMiB} MiB of disk left and takes no new agents below ${reserveMiB} MiB.`;
  await raiseAlert(db, { kind: KIND, subject: host.id, detail }, now);
}

/** Hosts that would refuse a new volume. */
export async function shortOfDisk(db: Database): Promise<ReadonlySet<string>> {
  const open = await db
    .select({ hostId: alerts.subject })
    .from(alerts)
    .where(and(eq(alerts.kind, KIND), isNull(alerts.resolvedAt)));
  return new Set(open.map(({ hostId }) => hostId));
}
