import { and, inArray, isNull } from "drizzle-orm";
import { alerts } from "../../schema/db/index.ts";
import type { HostInventory } from "../../schema/protocol/index.ts";
import { atomically, type Database } from "../db.ts";
import { type AlertKind, raiseAlert, resolveAlert } from "./alerts.ts";
import * as store from "./store.ts";

/** While one of these stands, a host could make nothing of a new agent. */
const UNFIT = ["disk_short", "engine_away", "host_rolled_back"] as const satisfies readonly AlertKind[];

/**
 * What a host says of what all its agents need: the disk that their data is on, and the engine that they run on. One that
 * was away for a moment, because it was updated, is nothing that an operator has to look at: it is told when it still is.
 */
export async function noteFitness(
  db: Database,
  host: Pick<store.HostRow, "id" | "name" | "inventory">,
  { disk, engine }: Pick<HostInventory, "disk" | "engine">,
  now: number,
): Promise<void> {
  const raise = (kind: AlertKind, detail: string) => raiseAlert(db, { kind, subject: host.id, detail }, now);
  const over: AlertKind[] = [];
  if (disk && disk.freeMiB < disk.reserveMiB) {
    const { freeMiB, reserveMiB } = disk;
    await raise(
      "disk_short",
      `${host.name} has ${freeMiB} MiB of disk left and takes no new agents below ${reserveMiB} MiB.`,
    );
  } else if (disk) over.push("disk_short");
  if (engine !== "away") over.push("engine_away");
  else if (store.inventoryOf(host)?.engine === "away") {
    await raise("engine_away", `The container engine of ${host.name} does not answer: no agent starts or ends there.`);
  }
  if (over.length === 0) return;
  await atomically(
    db,
    over.map((kind) => resolveAlert(db, kind, host.id, now)),
  );
}

/** Hosts that would make nothing of a new agent. */
export async function unfitHosts(db: Database): Promise<ReadonlySet<string>> {
  const open = await db
    .select({ hostId: alerts.subject })
    .from(alerts)
    .where(and(inArray(alerts.kind, UNFIT), isNull(alerts.resolvedAt)));
  return new Set(open.map(({ hostId }) => hostId));
}
