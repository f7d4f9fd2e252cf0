import { createClient } from "@libsql/client/http";
import { newId } from "../../schema/protocol/index.ts";
import { Account } from "../../stack/client.ts";
import { internet } from "../hosts/index.ts";
import { type Census, gone, takeCensus, whole } from "../system/agent-lab.ts";
import { type Platform, startPlatform } from "../system/platform.ts";
import { eventually, insist, orphansOf, sameCensus, type Tally } from "./tally.ts";
import { type FaultyWire, startFaultyWire } from "./wire.ts";

export type Action = "create" | "restart" | "stop" | "start" | "delete";

/** The networks of a host are counted, and a spare one does not say that it is nobody's. */
const COUNTED = { spareNetworks: 0 };

const LEFT: Readonly<Record<Action, Census>> = {
  create: whole,
  restart: whole,
  start: whole,
  stop: { ...gone, networks: 1, directories: 3, uids: 1 },
  delete: gone,
};

/** What the edge's database holds of an agent. */
interface Row {
  id: string;
  slug: string;
  desired: string;
  generation: number;
  observed: string;
  observedGeneration: number;
  purged: boolean;
}

/** The whole product with one host, reached over a wire that can fail, and one person who owns agents on it. */
export interface Product {
  platform: Platform;
  wire: FaultyWire;
  /** Says it once. The generation that the edge has acknowledged, or null where it has not. */
  ask(action: Action, name: string, timeoutMs?: number): Promise<number | null>;
  row(name: string): Promise<Row | null>;
  rows(): Promise<Row[]>;
  /** Adds up one fault. `acknowledged`: the generation that the edge has promised, null where it has not. */
  judge(tally: Tally, name: string, last: { action: Action; acknowledged: number | null }): Promise<void>;
  stop(): Promise<void>;
}

export async function startProduct(): Promise<Product> {
  const wire = await startFaultyWire(internet.address);
  const platform = await startPlatform({ place: { endpoint: wire.url, agent: COUNTED } }).catch(async (error) => {
    await wire.close();
    throw error;
  });
  const { edge, server, host } = platform;
  wire.target = host.place.hostSite;
  const account = new Account(edge.dashboard);
  const tag = newId("tnt").slice(4, 14);
  await account.signUp({ name: "faults", email: `${tag}@example.test`, password: `${tag}-correct-horse` });
  const database = createClient({ url: edge.databaseUrl, authToken: edge.databaseAuthToken });

  async function rows(): Promise<Row[]> {
    const found = await database.execute("select * from tenants order by created_at");
    return found.rows.map((row) => ({
      id: String(row.id),
      slug: String(row.slug),
      desired: String(row.desired),
      generation: Number(row.generation),
      observed: String(row.observed),
      observedGeneration: Number(row.observed_generation),
      purged: row.purged_at !== null,
    }));
  }
  /** A deleted agent gives its name back: from then on it is found by its id. */
  const ids = new Map<string, string>();
  async function row(name: string): Promise<Row | null> {
    const found = (await rows()).find(({ id, slug }) => (ids.has(name) ? id === ids.get(name) : slug === name)) ?? null;
    if (found) ids.set(name, found.id);
    return found;
  }

  async function ask(action: Action, name: string, timeoutMs = 30_000): Promise<number | null> {
    try {
      if (action === "create") {
        const answer = await account.api("/api/v1/tenants", { body: { name, runtime: "echo" }, timeoutMs });
        return answer.status < 300 ? answer.json<{ generation: number }>().generation : null;
      }
      const id = (await row(name))?.id;
      const path = action === "delete" ? `/api/v1/tenants/${id}` : `/api/v1/tenants/${id}/${action}`;
      const answer = await account.api(path, { method: action === "delete" ? "DELETE" : "POST", timeoutMs });
      return answer.status < 300 ? answer.json<{ generation: number }>().generation : null;
    } catch {
      return null;
    }
  }

  /** What the edge wants is what the host has said about this very generation. */
  const agrees = (it: Row) =>
    it.observedGeneration === it.generation && (it.desired === "deleted" ? it.purged : it.observed === it.desired);

  return {
    platform,
    wire,
    ask,
    row,
    rows,
    async judge(tally, name, { action, acknowledged }) {
      let it = await row(name);
      const settled = await eventually(async () => {
        it = await row(name);
        return it === null || agrees(it);
      }, 90);
      const kept = acknowledged === null || (it !== null && it.generation >= acknowledged && settled);
      // What was not acknowledged may be so or not, but never half.
      const left = acknowledged === null ? leftOf(it) : LEFT[action];
      const look = async () => {
        if (it === null) return gone;
        const others = (await rows()).filter(({ id, purged }) => id !== it?.id && !purged).length;
        return takeCensus({ host: server, stateDir: host.place.dir, tenantId: it.id, others });
      };
      let found = await look();
      await eventually(async () => {
        found = await look();
        return sameCensus(found, left);
      }, 15);
      tally.kills += 1;
      tally.orphans += orphansOf(found, left);
      if (!kept) tally.lostAcknowledged += 1;
      if (kept && settled && sameCensus(found, left)) tally.converged += 1;
      else console.error(`${tally.name}: ${action} of ${name}: ${JSON.stringify({ acknowledged, it, found, left })}`);
    },
    async stop() {
      database.close();
      await platform.stop();
      await wire.close();
    },
  };
}

function leftOf(row: Row | null): Census {
  if (!row || row.desired === "deleted") return gone;
  return row.desired === "running" ? LEFT.create : LEFT.stop;
}

export async function insistOn(product: Product, action: Action, name: string): Promise<void> {
  await insist(`${action} of ${name}`, async () => (await product.ask(action, name)) !== null);
}
