import { setTimeout as sleep } from "node:timers/promises";
import { createClient } from "@libsql/client/http";
import { inventoryReport } from "../../host-agent/inventory.ts";
import { silentLog } from "../../host-agent/log.ts";
import { startReportSender } from "../../host-agent/reports.ts";
import { createModelHost, KillError } from "../../host-agent/tenants/model-host.ts";
import { random, startTestAgent } from "../../host-agent/testing.ts";
import { COMMAND_PATH, newId, type ObservedState } from "../../schema/protocol/index.ts";
import type { RunningSqld } from "../../stack/sqld.ts";
import { capacity, startModelEdge } from "./edge.ts";

export const WIRE_FAULTS = ["lost", "answer lost", "doubled", "late"] as const;
export type WireFault = (typeof WIRE_FAULTS)[number];

const HOUR_MS = 3_600_000;

export interface Row {
  id: string;
  desired: "running" | "suspended" | "stopped" | "deleted";
  generation: number;
  observed: string;
  observedGeneration: number;
  purged: boolean;
}

type Agent = Awaited<ReturnType<typeof startTestAgent>>;
export type ModelWorld = Awaited<ReturnType<typeof startModelWorld>>;

/**
 * The real edge (service, outbox, delivery, reports, reconcile, on the real database) and the real host agent (desk,
 * journal on a disk, supervisor, report sender), between them a wire that fails on demand; only containers are a model.
 */
export async function startModelWorld(sqld: Pick<RunningSqld, "url" | "authToken">, journalPath: string) {
  let clockMs = Date.now();
  let hostAheadMs = 0;
  const hostNow = () => clockMs + hostAheadMs;
  const raw = createClient(sqld);
  const machine = createModelHost();
  const violations: string[] = machine.violations;

  let agent: Agent | null = null;
  let sender: ReturnType<typeof startReportSender> | null = null;
  let callsLeft = Number.POSITIVE_INFINITY;
  let wireFault: WireFault | null = null;
  /** Lost on the wire, or kept by somebody: never seen by the host. */
  const strays: string[] = [];
  const background = new Set<Promise<unknown>>();
  const later = (work: Promise<unknown>) => {
    const kept = work.catch(() => {}).finally(() => background.delete(kept));
    background.add(kept);
  };

  async function deliver(url: string | URL | Request, init?: RequestInit): Promise<Response> {
    const fault = wireFault;
    wireFault = null;
    const compact = String(init?.body);
    const pass = async () => {
      if (!agent || !String(url).endsWith(COMMAND_PATH)) throw new TypeError("nobody listens");
      const result = await agent.desk(compact);
      return result === null ? new Response("", { status: 403 }) : new Response(result);
    };
    if (fault === "lost") strays.push(compact);
    if (fault === "lost") throw new TypeError("the delivery is lost");
    if (fault === "late") await sleep(15);
    const [answer] = await Promise.all([pass(), ...(fault === "doubled" ? [pass()] : [])]);
    if (fault === "answer lost") throw new TypeError("the answer is lost");
    return answer;
  }

  const now = () => clockMs;
  const edge = await startModelEdge({ sqld, now, deliver: deliver as typeof fetch, later });
  const { keys, identity } = edge;

  /** What a state claims about the engine, at the moment when it is in the journal for good. */
  const told = new Map<string, string>();
  function checkClaims(): void {
    for (const { id, state, stateGeneration } of agent?.journal.tenants.all() ?? []) {
      const claim = `${state} ${stateGeneration}`;
      if (told.get(id) !== claim && !isTrue(id, state)) violations.push(`${id} is told to be ${claim}`);
      told.set(id, claim);
    }
  }
  function isTrue(id: string, state: ObservedState): boolean {
    const container = machine.containers.get(id);
    switch (state) {
      case "running":
        // Dead since it was ready, by our own hand: the event of it is on its way.
        return container !== undefined && (container.running || container.exitCode === CRASHED);
      case "asleep":
      case "suspended":
      case "failed":
        return !container?.running;
      case "stopped":
        return container === undefined;
      case "purged":
        return container === undefined && !machine.volumes.has(id);
      case "creating":
        return true;
    }
  }

  function maybeDie(): void {
    if (callsLeft <= 0) throw new KillError();
    callsLeft -= 1;
    if (callsLeft > 0) return;
    die();
    throw new KillError();
  }
  function die(): void {
    callsLeft = 0;
    const dying = agent;
    agent = null;
    void sender?.stop();
    dying?.die();
    void dying?.supervisor.stop();
  }

  return {
    machine,
    violations,
    person: { id: `usr_${newId("tnt")}`, email: "", name: "", role: "person" as const, sessionId: "" },
    service: edge.tenants,
    later,
    failNext: (fault: WireFault) => {
      wireFault = fault;
    },
    /** What was asked for so far has been tried. */
    async delivered(): Promise<void> {
      await Promise.all(background);
    },
    /** Whatever was lost comes after all, the newest first. The edge has long given it up. */
    async straysArrive(): Promise<void> {
      for (const compact of strays.splice(0).reverse()) await agent?.desk(compact).catch(() => {});
    },
    restartEdge: edge.restart,
    hostClock(aheadMs: number) {
      hostAheadMs = aheadMs;
    },
    /** The agent's process ends at that call to its host, counted from now. */
    killAfter(calls: number) {
      if (agent) callsLeft = calls;
    },
    isUp: () => agent !== null,

    async startAgent(): Promise<void> {
      if (agent) return;
      callsLeft = Number.POSITIVE_INFINITY;
      const options = { path: journalPath, edge: { ...keys, identity }, host: machine, nowMs: hostNow };
      const started = await startTestAgent({ ...options, before: maybeDie, after: maybeDie, onCommit: checkClaims });
      agent = started;
      const toEdge = async (_url: unknown, init?: RequestInit) => edge.report(init ?? {});
      const { journal } = started;
      const log = silentLog;
      sender = startReportSender({
        ...{ journal, identity, edgeUrl: "http://edge", log, nowMs: hostNow, random },
        fetch: toEdge as typeof fetch,
      });
      await started.supervisor.start().catch(() => {});
    },

    /** The rounds of the host: journal and engine compared, the whole told. */
    async round(): Promise<void> {
      const present = agent;
      if (!present) return;
      await present.supervisor.sweep().catch(() => {});
      if (agent !== present) return;
      const tenants = present.journal.tenants.all();
      present.journal.reports.add(inventoryReport({ tenants, images: [], versions: {}, capacity, atMs: hostNow() }));
    },

    /** The edge's clock strikes: what waits is due. */
    async tick(): Promise<void> {
      clockMs += HOUR_MS;
      await edge.tick();
    },

    async rows(): Promise<Row[]> {
      const sql = "select * from tenants where host_id = ? order by created_at";
      const { rows } = await raw.execute({ sql, args: [identity.hostId] });
      return rows.map((row) => ({
        id: String(row.id),
        desired: row.desired as Row["desired"],
        generation: Number(row.generation),
        observed: String(row.observed),
        observedGeneration: Number(row.observed_generation),
        purged: row.purged_at !== null,
      }));
    },

    async end(): Promise<void> {
      await Promise.all(background);
      await sender?.stop();
      await agent?.supervisor.stop();
      agent?.journal.close();
      agent = null;
      await raw.execute({ sql: "update hosts set state = 'removed' where id = ?", args: [identity.hostId] });
      await raw.execute({ sql: "delete from outbox where host_id = ?", args: [identity.hostId] });
      raw.close();
    },
  };
}

/** How a container ends whose end the model test has caused. */
export const CRASHED = 139;
