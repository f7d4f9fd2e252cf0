import { and, inArray, isNull } from "drizzle-orm";
import { alerts } from "../../schema/db/index.ts";
import type { HostInventory } from "../../schema/protocol/index.ts";
import { atomically, type Database } from "../db.ts";
import { type AlertKind, raiseAlert, resolveAlert } from "./alerts.ts";
import type * as store from "./store.ts";

/** While one of these stands, a host could make nothing of a new agent. */
const UNFIT = ["disk_short", "engine_away", "host_rolled_back"] as const satisfies readonly AlertKind[];

/** What a host says of what all its agents need: the disk that their data is on, and the engine that they run on. */
export async function noteFitness(
  db: Database,
  host: Pick<store.HostRow, "id" | "name">,
  { disk, engine }: Pick<HostInventory, "disk" | "engine">,
  now: number,
): Promise<void> {
  const isShort = disk && disk.freeMiB < disk.reserveMiB;
  const troubles = {
    disk_short:
      isShort &&
      `${host.name} has ${disk.freeMiB} MiB of disk left and takes no new agents below ${disk.reserveMiB} MiB.`,
    engine_away:
      engine === "away" && `The container engine of ${host.name} does not answer: nothing starts or ends there.`,
  };
  const over: AlertKind[] = [];
  for (const kind of ["disk_short", "engine_away"] as const) {
    const detail = troubles[kind];
    if (detail) await raiseAlert(db, { kind, subject: host.id, detail }, now);
    else if (detail === false) over.push(kind);
  }
  if (over.length > 0)
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
