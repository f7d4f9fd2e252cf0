import { eq, sql } from "drizzle-orm";
import type { LibSQLDatabase } from "drizzle-orm/libsql";
import * as db from "../../schema/db/index.ts";
import { CELL_NAMESPACES, LEDGER_START, ledgerText, toBase64url } from "../../schema/protocol/index.ts";
import { type Account, expectStatus } from "../client.ts";

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;

/** An agent that its owner has asked for, on the server named. */
export async function create(owner: Account, name: string, hostId: string, database: LibSQLDatabase): Promise<string> {
  const body = { name, runtime: "openclaw", secrets: { ANTHROPIC_API_KEY: "sk-ant-api03-0123456789abcdefghij" } };
  const { id } = expectStatus(await owner.api("/api/v1/tenants", { body }), 201, 202).json<{ id: string }>();
  await database.update(db.tenants).set({ hostId }).where(eq(db.tenants.id, id));
  return id;
}

export async function say(
  database: LibSQLDatabase,
  id: string,
  observed: "running" | "asleep" | "failed",
  failure: string | null = null,
): Promise<void> {
  const told = { observed, failure, observedGeneration: sql`${db.tenants.generation}` };
  await database.update(db.tenants).set(told).where(eq(db.tenants.id, id));
  const steps = ["accept", "image", "uid", "firewall", "volume", "network", "config", "container", "health", "route"];
  const done = failure === null ? steps : steps.slice(0, 2);
  await database.insert(db.tenantEvents).values(
    done.map((step, index) => ({
      ...{ tenantId: id, generation: 1, at: Date.now() + index * 900, step },
      ...{
        status: failure !== null && index === 1 ? ("failed" as const) : ("done" as const),
        tookMs: 120 + 37 * index,
      },
      ...{ detail: index === 1 ? failure : null, hostId: "hst_lab/1", hostSeq: Date.now() * 100 + index },
    })),
  );
}

/** An agent that people write to by WhatsApp; what it runs has a place for every channel. */
export async function correspondence(database: LibSQLDatabase, tenantId: string, now: number): Promise<void> {
  const [channelId, person] = ["chn_lab", "16315551234"];
  const day = new Date(now).toISOString().slice(0, 10);
  const counts = { accepted: 41, taken: 39, not_allowed: 3, unanswered: 1, loop: 1 };
  await database.batch([
    database.update(db.tenants).set({ runtime: "zeroclaw" }).where(eq(db.tenants.id, tenantId)),
    database.insert(db.channels).values({
      ...{ id: channelId, tenantId, kind: "whatsapp", accountId: "106540352242922", account: "+1 555 078 3881" },
      ...{ createdAt: now - 9 * DAY, registeredAt: now - 9 * DAY },
    }),
    database.insert(db.channelPeople).values({ channelId, senderId: person, addedAt: now - 9 * DAY }),
    database.insert(db.channelConversations).values({
      ...{ channelId, conversation: "16315559876", stoppedAt: now - 47 * MINUTE, stoppedWhy: "steady" },
    }),
    database.insert(db.channelCounts).values(Object.entries(counts).map(([what, n]) => ({ channelId, day, what, n }))),
    database.insert(db.channelRefusals).values([
      { channelId, at: now - 90 * MINUTE, why: "not_allowed", senderId: "447700900123" },
      { channelId, at: now - 47 * MINUTE, why: "loop", senderId: "16315559876" },
      { channelId, at: now - 12 * MINUTE, why: "unanswered", senderId: person },
    ]),
  ]);
}

/** What its server says that it has taken on: each entry's hash over the one before it. */
async function commandsOf(tenantId: string, now: number): Promise<(typeof db.ledger.$inferInsert)[]> {
  const digest = async (text: string) =>
    toBase64url(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))));
  const rows: (typeof db.ledger.$inferInsert)[] = [];
  let previous = LEDGER_START;
  for (let number = 1; number <= 4; number++) {
    const entry = {
      ...{ epoch: 1, number, at: now - (5 - number) * 6 * 3_600_000, type: "tenant.apply" as const },
      ...{
        generation: number,
        jti: (await digest(`jti ${number}`)).slice(0, 22),
        commandHash: await digest(`command ${number}`),
        previous,
      },
    };
    previous = await digest(ledgerText(tenantId, entry));
    rows.push({ tenantId, hostId: "hst_lab", ...entry, hash: previous });
  }
  return rows;
}

/** A day in the life of one agent: how it was each minute, what it has stored. */
export async function life(database: LibSQLDatabase, tenantId: string, now: number): Promise<void> {
  const status = {
    ...{ type: "tenant.status", seq: 9, at: now - 20_000, tenantId, memoryMiB: 742, cpuPercent: 7, pids: 31 },
    cell: {
      ...{ uid: 200_001, capabilities: 0, noNewPrivileges: true, seccomp: "filter", readOnlyRoot: true },
      ...{ writable: ["/data", "/tmp"], namespaces: CELL_NAMESPACES },
    },
    runtime: {
      healthy: true,
      jobs: [{ enabled: true, nextRunAt: now + 47 * MINUTE }],
      channels: [{ name: "telegram", connected: true }],
    },
  };
  const snapshots = [2, 1].map((days) => new Date(now - days * DAY).toISOString().replace(/[-:]|\.\d+/g, ""));
  await database.batch([
    database.insert(db.ledger).values(await commandsOf(tenantId, now)),
    database.insert(db.tenantStatus).values({ tenantId, at: now, report: JSON.stringify(status) }),
    database.insert(db.tenantStorage).values({
      ...{ tenantId, usedBytes: 3.4 * 2 ** 30, limitBytes: 8 * 2 ** 30, strays: 0, at: now },
      snapshots: JSON.stringify(snapshots),
    }),
    database.insert(db.tenantSamples).values(
      Array.from({ length: 288 }, (_, index) => ({
        ...{ tenantId, minute: Math.floor(now / MINUTE) - 5 * (288 - index) },
        memoryMiB: Math.round(640 + 110 * Math.sin(index / 21) + (index % 7) * 6),
        cpuPercent: Math.round(Math.abs(14 * Math.sin(index / 9)) + (index % 40 === 0 ? 55 : 2)),
        ...{ diskMiB: 3_300 + index, requests: index % 12 === 0 ? 14 : index % 3 },
      })),
    ),
  ]);
}
