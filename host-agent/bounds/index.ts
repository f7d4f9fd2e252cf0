import { readFile } from "node:fs/promises";
import type { Run } from "../firewall/index.ts";
import type { Journal, TenantRecord } from "../journal.ts";
import { describeError, type Log } from "../log.ts";
import type { Tenant } from "../tenants/layout.ts";
import { closedBridges, closing, counted, dayOf, type Egress, levelOf, newsOf, receivedBytes } from "./rules.ts";

/** What can leave an agent between two looks is beyond its bound. */
const EVERY_MS = 15_000;
/** A count in memory may be lost with this process, and is found again in the kernel's; a bridge that goes takes it along. */
const WRITE_EVERY_BYTES = 4 * 2 ** 20;

export interface BoundsOptions {
  journal: {
    tenants: Pick<Journal["tenants"], "all">;
    data: Pick<Journal["data"], "get" | "put">;
    reports: Pick<Journal["reports"], "add">;
  };
  tenantOf: (record: TenantRecord) => Tenant;
  run: Run;
  log: Log;
  nowMs: () => number;
  /** The kernel's table of interfaces, of the host's own network. */
  readInterfaces?: () => Promise<string>;
}

/**
 * What each agent sends in a day, by the kernel's count of its bridge, and the end of it by the kernel's routing: no rule
 * of the walls is touched, and nothing has to be done for agents that keep within their bounds.
 */
export function startBounds(options: BoundsOptions) {
  const { journal, tenantOf, run, log, nowMs } = options;
  const readInterfaces = options.readInterfaces ?? (() => readFile("/proc/self/net/dev", "utf8"));
  const counts = new Map<string, Egress>();
  let looking: Promise<void> | null = null;
  /** The kernel was asked, and closes nobody: as long as nobody has to be, it need not be asked again. */
  let noneClosed = false;

  /** Counts one agent; resolves with its bridge where that must be closed. */
  function lookAt(record: TenantRecord, received: ReadonlyMap<string, number>): string | null {
    const { layout, spec } = tenantOf(record);
    const kept = journal.data.get(record.id).egress;
    const before = counts.get(record.id) ?? kept;
    const counter = received.get(layout.network);
    const limitMiB = spec.limits.egressMiBPerDay;
    // Without a bridge it sends nothing, and what it has sent counts all the same.
    const now = counted(before, counter ?? 0, dayOf(nowMs()));
    const level = levelOf(now.bytes, limitMiB);
    const detail = limitMiB === undefined ? null : newsOf(now, level, limitMiB);
    if (detail !== null) {
      now.told = level;
      log.warn("tenant.egress", { tenant: record.id, level, bytes: now.bytes });
      const { id: tenantId, generation } = record;
      const step = { step: "firewall", status: "progress", detail } as const;
      journal.reports.add({ type: "tenant.progress", at: nowMs(), tenantId, generation, ...step });
    }
    counts.set(record.id, now);
    const isWorthIt =
      !kept || kept.day !== now.day || kept.told !== now.told || now.bytes - kept.bytes >= WRITE_EVERY_BYTES;
    // A bridge that was made anew counts from zero: what is kept must not be more than that.
    if (isWorthIt || now.counter < kept.counter) journal.data.put(record.id, { egress: now });
    return level === "closed" ? layout.network : null;
  }

  async function lookAtAll(): Promise<void> {
    const received = receivedBytes(await readInterfaces());
    const wanted = new Set<string>();
    const records = journal.tenants.all().filter(({ slot, spec, goal }) => slot !== null && spec && goal !== "purged");
    for (const record of records) {
      const bridge = lookAt(record, received);
      if (bridge !== null) wanted.add(bridge);
    }
    const there = new Set(records.map(({ id }) => id));
    for (const id of counts.keys()) if (!there.has(id)) counts.delete(id);
    if (wanted.size === 0 && noneClosed) return;
    const closed = closedBridges(await run("ip", ["-4", "rule", "show"]));
    for (const bridge of wanted)
      if (!closed.includes(bridge)) await run("ip", ["-4", "rule", "add", ...closing(bridge)]);
    for (const bridge of closed) if (!wanted.has(bridge)) await run("ip", ["-4", "rule", "del", ...closing(bridge)]);
    noneClosed = wanted.size === 0;
  }

  const look = () => {
    looking ??= lookAtAll()
      .catch((error) => log.warn("bounds", { error: describeError(error) }))
      .finally(() => {
        looking = null;
      });
    return looking;
  };
  const timer = setInterval(() => void look(), EVERY_MS);
  void look();
  return {
    look,
    /** Today, in MiB. */
    egressMiB: (tenantId: string): number => Math.floor((counts.get(tenantId)?.bytes ?? 0) / 2 ** 20),
    stop(): void {
      clearInterval(timer);
    },
  };
}
