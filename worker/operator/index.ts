import type { World } from "../clock.ts";
import type { Database } from "../db.ts";
import type { Config } from "../env.ts";
import type { HostDesk, Hosts } from "../hosts/index.ts";
import { good, type Result, refuse } from "../problem.ts";
import { retryFailed } from "../tenants/service.ts";
import type { Background } from "../tenants/types.ts";
import { auditStream, type ExportFormat } from "./export.ts";
import { type AuditSearch, findingsOf } from "./rules.ts";
import * as store from "./store.ts";
import { type AuditEntry, type HostView, type Overview, type Sweep, sweep } from "./types.ts";
import * as views from "./views.ts";

export { EXPORT_FORMATS, type ExportFormat, exportHeaders } from "./export.ts";
export { admit } from "./guard.ts";

const SWEEPS_SHOWN = 30;

export interface OperatorContext {
  db: Database;
  world: World;
  hosts: Pick<Hosts, "announce" | "deliver"> & { desk: HostDesk };
  payments: Config["billing"]["mode"];
}

/** Everything that whoever runs the platform sees and does. `actor` stands in the audit: a person's id, or `operator`. */
export interface OperatorService {
  overview(): Promise<Overview>;
  host(id: string): Promise<Result<HostView>>;
  changeHost(id: string, action: "drain" | "reopen", actor: string): Promise<Result<{ state: string }>>;
  /** Has a failed agent tried again. */
  retryAgent(id: string, actor: string, later: Background): Promise<Result<{ id: string; generation: number }>>;
  /** Says again what a host has not taken; with null what is about the host itself. */
  retryDelivery(
    about: { hostId: string; tenantId: string | null },
    actor: string,
  ): Promise<Result<{ delivered: boolean }>>;
  /** Newest first, below the id given. */
  audit(search: AuditSearch, below: number | null, limit: number): Promise<AuditEntry[]>;
  /** All that matches, as it is read; that it was exported is in the audit before the first byte leaves. */
  exportAudit(search: AuditSearch, format: ExportFormat, actor: string): Promise<ReadableStream<Uint8Array>>;
  /** The newest runs of the reaper. */
  sweeps(): Promise<Sweep[]>;
}

export function createOperator({ db, world, hosts, payments }: OperatorContext): OperatorService {
  const { desk } = hosts;

  /** One read of everything, and one word for it. */
  async function overview(): Promise<Overview> {
    const now = world.now();
    const [machines, alerts, outbox, [agents, failed, accounts, people, mails]] = await Promise.all([
      desk.hosts(),
      desk.alerts(),
      desk.outbox(),
      db.batch([
        store.countAgents(db),
        store.failedAgents(db),
        store.countAccounts(db, now),
        store.countPeople(db),
        store.countMails(db),
      ]),
    ]);
    const silent = new Set(alerts.filter(({ kind }) => kind === "host_silent").map(({ subject }) => subject));
    const seen: Omit<Overview, "findings"> = {
      at: views.iso(now),
      hosts: machines.map((host) => views.hostViewOf(host, silent.has(host.id))),
      agents: views.agentsByState(agents),
      failed: views.failedOf(failed),
      outbox: views.outboxOf(outbox, machines),
      mailWaiting: mails[0]?.n ?? 0,
      alerts: alerts.map(({ kind, subject, detail, times, firstAt, lastAt }) => ({
        ...{ kind, subject, detail, times },
        ...{ firstAt: views.iso(firstAt), lastAt: views.iso(lastAt) },
      })),
      revenue: views.revenueOf(payments, accounts, people[0]?.n ?? 0),
    };
    return { ...seen, findings: findingsOf(seen) };
  }

  return {
    overview,

    async host(id) {
      const [machines, alerts] = await Promise.all([desk.hosts(), desk.alerts()]);
      const found = machines.find((host) => host.id === id);
      if (!found) return refuse("not_found");
      const silent = alerts.some(({ kind, subject }) => kind === "host_silent" && subject === id);
      return good(views.hostViewOf(found, silent));
    },

    changeHost: (id, action, actor) => desk.change(id, action, actor),

    async retryAgent(id, actor, later) {
      const retried = await retryFailed({ db, world, hosts }, id, actor);
      if (retried.ok) later(hosts.deliver(id));
      return retried;
    },

    async retryDelivery(about, actor) {
      const known = (await desk.outbox()).stuck;
      if (!known.some(({ hostId, tenantId }) => hostId === about.hostId && tenantId === about.tenantId)) {
        return refuse("not_failed");
      }
      return good({ delivered: await desk.tellAgain(about, actor) });
    },

    async audit(search, below, limit) {
      const read = await store.auditReader(db, search);
      return (await read(below, limit)).map((row) => ({ ...row, at: views.iso(row.at) }));
    },

    async exportAudit(search, format, actor) {
      const read = await store.auditReader(db, search);
      const detail = JSON.stringify({ format, ...search });
      await store.writeAudit(db, { at: world.now(), actor, action: "audit.export", subject: "audit", detail });
      return auditStream(read, format);
    },

    async sweeps() {
      const rows = await store.newestSweeps(db, SWEEPS_SHOWN);
      return rows.flatMap(({ report }) => sweep.safeParse(JSON.parse(report)).data ?? []);
    },
  };
}
