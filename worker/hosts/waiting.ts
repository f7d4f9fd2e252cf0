import { and, count, eq, isNull, lt, min, ne } from "drizzle-orm";
import { alerts, hosts, tenants } from "../../schema/db/index.ts";
import { atomically } from "../db.ts";
import { raiseAlert, resolveAlert } from "./alerts.ts";
import type { DeliveryContext } from "./deliver.ts";
import { DELETION_WAITS_MS, isSilent } from "./rules.ts";

/** Tells the operator of hosts whose word deletions wait for. An account that is being deleted waits with its agents. */
export async function watchDeletions({ db, world }: Pick<DeliveryContext, "db" | "world">): Promise<void> {
  const now = world.now();
  const [waiting, noted] = await Promise.all([
    db
      .select({ host: hosts, n: count(), since: min(tenants.updatedAt) })
      .from(tenants)
      .innerJoin(hosts, eq(hosts.id, tenants.hostId))
      .where(
        and(
          eq(tenants.desired, "deleted"),
          isNull(tenants.purgedAt),
          lt(tenants.updatedAt, now - DELETION_WAITS_MS),
          ne(hosts.state, "removed"),
        ),
      )
      .groupBy(hosts.id),
    db
      .select({ subject: alerts.subject })
      .from(alerts)
      .where(and(eq(alerts.kind, "deletion_waits"), isNull(alerts.resolvedAt))),
  ]);
  for (const { host, n, since } of waiting) {
    const oldest = new Date(since ?? now).toISOString();
    const way = isSilent(host, now)
      ? `It says nothing. When it never comes back: \`host remove ${host.name} --lost\`; their receipts will say what is not proven.`
      : "It speaks: its log says which step fails, and goes on trying.";
    const detail = `${n === 1 ? "A deletion waits" : `${n} deletions wait`} for ${host.name}, since ${oldest}. ${way}`;
    await raiseAlert(db, { kind: "deletion_waits", subject: host.id, detail }, now);
  }
  const over = noted.filter(({ subject }) => !waiting.some(({ host }) => host.id === subject));
  if (over.length === 0) return;
  await atomically(
    db,
    over.map(({ subject }) => resolveAlert(db, "deletion_waits", subject, now)),
  );
}
