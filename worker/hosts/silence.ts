import { and, eq, isNull } from "drizzle-orm";
import { alerts } from "../../schema/db/index.ts";
import { atomically, type Database } from "../db.ts";
import { raiseAlert, resolveAlert } from "./alerts.ts";
import type { DeliveryContext } from "./deliver.ts";
import { isSilent, LOST_AFTER_MS, TURNS_MISSED_MS } from "./rules.ts";
import * as store from "./store.ts";

const openAbout = (hostId?: string) =>
  and(
    eq(alerts.kind, "host_silent"),
    isNull(alerts.resolvedAt),
    hostId === undefined ? undefined : eq(alerts.subject, hostId),
  );

/**
 * Notes which hosts are silent while others speak. Counted from when this edge first saw it, and anew when the edge was
 * away itself: its own outage looks like the death of every host.
 */
export async function watchSilence({ db, world }: Pick<DeliveryContext, "db" | "world">): Promise<void> {
  const now = world.now();
  const [hosts, noted] = await Promise.all([store.listHosts(db), db.select().from(alerts).where(openAbout())]);
  const newest = Math.max(...hosts.map(({ lastReportAt }) => lastReportAt ?? 0));
  const silent = hosts.filter((host) => isSilent(host, newest));
  const isOver = ({ subject, lastAt }: (typeof noted)[number]) =>
    now - lastAt > TURNS_MISSED_MS || !silent.some(({ id }) => id === subject);
  const over = noted.filter(isOver).map(({ subject }) => resolveAlert(db, "host_silent", subject, now));
  if (over.length > 0) await atomically(db, over);
  for (const { id: subject, name } of silent) {
    const detail = `${name} says nothing while others do. Its agents can be moved by their last copies.`;
    await raiseAlert(db, { kind: "host_silent", subject, detail }, now);
  }
}

/** By how long it has been silent, or by the operator's word: what it held can only come from a copy. */
export async function isLost(db: Database, hostId: string, now: number): Promise<boolean> {
  if ((await store.findHost(db, hostId)) === null) return true;
  const noted = await db.select().from(alerts).where(openAbout(hostId));
  return noted.some(({ firstAt }) => now - firstAt >= LOST_AFTER_MS);
}
