import { readdir, rm } from "node:fs/promises";
import { type HostReap, type Leftover, leftover } from "../../schema/protocol/index.ts";
import type { Journal } from "../journal.ts";
import { describeError, type Log } from "../log.ts";
import type { Ports } from "../tenants/index.ts";
import { tenantLayout } from "../tenants/layout.ts";

const FIRST_AFTER_MS = 5 * 60_000;
const EVERY_MS = 24 * 3_600_000;
const MAX_ITEMS = 1_000;

export interface ReaperOptions {
  journal: { tenants: Pick<Journal["tenants"], "all" | "get">; reports: Pick<Journal["reports"], "add"> };
  ports: Pick<Ports, "volumes" | "copies" | "runtimes">;
  pool: string;
  stateDir: string;
  runDir: string;
  /** Where Caddy keeps its certificates. */
  ingressDir: string;
  log: Log;
  nowMs: () => number;
}

export interface Reaper {
  /** Looks now, and tells the edge what this host's journal knows nothing of; also when that is nothing. */
  look(): Promise<void>;
  /** Removes what the edge says is nobody's, but nothing of whom this journal knows; then looks again. */
  reap(items: HostReap["items"]): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Looks for what has no owner here: directories, copies in object storage, certificates. Whose it is, only the edge can
 * say, since others share the bucket and a journal may have been lost; so nothing is removed before its word.
 */
export function startReaper({ journal, ports, log, nowMs, ingressDir, ...places }: ReaperOptions): Reaper {
  const { stateDir, runDir } = places;
  let turn: Promise<void> = Promise.resolve();
  /** One after the other: a look beside a removal would tell of what is half gone. */
  const inTurn = (what: string, work: () => Promise<void>) => {
    turn = turn.then(work).catch((error) => log.warn(`reaper.${what}`, { error: describeError(error) }));
    return turn;
  };
  const isKnown = (id: string) => {
    const record = journal.tenants.get(id);
    return record !== undefined && record.state !== "purged";
  };

  async function find(): Promise<Leftover[]> {
    const roots = [`${stateDir}/volumes`, `${stateDir}/mounts`, `${stateDir}/config`, `${runDir}/env`];
    const names = await Promise.all(roots.map((root) => readdir(root).catch(() => [])));
    const ids = new Set(names.flat());
    const hostnames = new Set(journal.tenants.all().flatMap(({ spec }) => (spec ? [spec.hostname] : [])));
    const found = [
      ...[...ids].map((name) => ({ kind: "directory", name })),
      ...(await ports.copies.list()).map((name) => ({ kind: "copies", name })),
      ...(await certificates()).filter((name) => !hostnames.has(name)).map((name) => ({ kind: "certificate", name })),
    ];
    return found
      .flatMap((one) => leftover.safeParse(one).data ?? [])
      .filter(({ kind, name }) => kind === "certificate" || !isKnown(name))
      .slice(0, MAX_ITEMS);
  }

  async function certificates(): Promise<string[]> {
    const issuers = await readdir(`${ingressDir}/certificates`).catch(() => []);
    const names = issuers.map((issuer) => readdir(`${ingressDir}/certificates/${issuer}`).catch(() => []));
    return [...new Set((await Promise.all(names)).flat())];
  }

  async function tell(): Promise<void> {
    journal.reports.add({ type: "host.leftovers", at: nowMs(), items: await find() });
  }

  async function remove({ kind, name }: Leftover): Promise<void> {
    switch (kind) {
      case "directory": {
        const layout = tenantLayout({ tenantId: name, uid: 0, slot: 0, ...places });
        await ports.volumes.destroy(layout);
        await ports.runtimes.clearEnv(layout);
        return ports.runtimes.removeConfig(layout);
      }
      case "copies":
        await ports.copies.destroy(name);
        return;
      case "certificate":
        for (const issuer of await readdir(`${ingressDir}/certificates`).catch(() => []))
          await rm(`${ingressDir}/certificates/${issuer}/${name}`, { recursive: true, force: true });
    }
  }

  async function reapAll(items: HostReap["items"]): Promise<void> {
    const hostnames = new Set(journal.tenants.all().flatMap(({ spec }) => (spec ? [spec.hostname] : [])));
    for (const item of items) {
      // The edge's database may be the older copy: what this host knows is not removed by this word, only by a purge.
      if (item.kind === "certificate" ? hostnames.has(item.name) : isKnown(item.name)) continue;
      try {
        await remove(item);
        log.info("reaper.removed", { ...item });
      } catch (error) {
        log.warn("reaper.not_removed", { ...item, error: describeError(error) });
      }
    }
    await tell();
  }

  const look = () => inTurn("look", tell);
  const first = setTimeout(() => void look(), FIRST_AFTER_MS);
  const timer = setInterval(() => void look(), EVERY_MS);
  return {
    look,
    reap: (items) => inTurn("reap", () => reapAll(items)),
    stop() {
      clearTimeout(first);
      clearInterval(timer);
      return turn;
    },
  };
}
