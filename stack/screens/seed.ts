import { createClient } from "@libsql/client/http";
import { eq } from "drizzle-orm";
import type { LibSQLDatabase } from "drizzle-orm/libsql";
import { drizzle } from "drizzle-orm/libsql/http";
import * as db from "../../schema/db/index.ts";
import { generateSealingKey, generateSigningKey, newId, publicPart } from "../../schema/protocol/index.ts";
import type { Account } from "../client.ts";
import type { Edge } from "../edge.ts";
import { correspondence, create, life, say } from "./agents.ts";
import type { Known, Payer } from "./pages.ts";

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
/** The hosts of the lab do not speak: their last word lies ahead, so that they are not found silent while we look. */
const AHEAD = 10 * MINUTE;

/** Fills an edge's database as some months of use would: three servers, agents in every state, things that went wrong. */
export async function fill(edge: Edge, owner: Account): Promise<Known> {
  const client = createClient({ url: edge.databaseUrl, authToken: edge.databaseAuthToken });
  const database = drizzle({ client, casing: "snake_case" });
  try {
    const now = Date.now();
    const hostId = await addHost(database, { name: "eu-1", region: "eu", at: now + AHEAD });
    await addHost(database, { name: "eu-2", region: "eu", at: now + AHEAD, troubled: true });
    const silent = await addHost(database, { name: "us-1", region: "us", at: now - 20 * MINUTE });
    await database.insert(db.alerts).values({
      ...{ kind: "host_silent", subject: silent, times: 18, firstAt: now - 18 * MINUTE, lastAt: now },
      detail: "us-1 says nothing while others do. Its agents can be moved by their last copies.",
    });
    const running = await create(owner, "ada-helper", hostId, database);
    const asleep = await create(owner, "night-watch", hostId, database);
    const failed = await create(owner, "old-library", hostId, database);
    // Delivered, as far as the edge knows; what it is told from here on stays in its outbox.
    await database.update(db.outbox).set({ deliveredAt: now });
    await say(database, running, "running");
    await say(database, asleep, "asleep");
    await say(database, failed, "failed", "The image could not be made: the package registry did not answer.");
    await life(database, running, now);
    await correspondence(database, asleep, now);
    await others(database, now);
    await history(database, now);
    return { running, asleep, failed, hostId };
  } finally {
    client.close();
  }
}

async function addHost(
  database: LibSQLDatabase,
  { name, region, at, troubled = false }: { name: string; region: string; at: number; troubled?: boolean },
): Promise<string> {
  const id = newId("hst");
  const gate = (gateName: string, have: string, need: string, ok: boolean) => ({ name: gateName, have, need, ok });
  await database.insert(db.hosts).values({
    ...{ id, name, region, endpoint: `https://${name}.hosts.example`, state: troubled ? "draining" : "enrolled" },
    ...{ epoch: 1, memoryMiB: 65_536, diskMiB: 512_000, maxTenants: 28, lastReportAt: at, enrolledAt: at - 60 * DAY },
    signingKey: JSON.stringify(publicPart(await generateSigningKey())),
    sealingKey: JSON.stringify(publicPart(await generateSealingKey())),
    inventory: JSON.stringify({
      ...{ type: "host.inventory", seq: 1, at, tenants: [], drift: troubled ? { firewall: 2 } : {} },
      images: [
        { runtime: "openclaw", state: "ready" },
        { runtime: "echo", state: "ready" },
      ],
      versions: { docker: troubled ? "29.4.0" : "29.5.1", caddy: "2.11.4", kernel: "6.12.57", agent: "0.1.0" },
      capacity: { memoryMiB: 65_536, diskMiB: 512_000, tenants: 28 },
    }),
    posture: JSON.stringify({
      ...{ type: "host.posture", seq: 2, at: at - 60 * MINUTE, tookMs: 41_200, attacks: attacks(troubled) },
      gates: [
        gate("docker", troubled ? "29.4.0" : "29.5.1", "29.5.1", !troubled),
        gate("runc", "1.3.3", "1.3.3", true),
        gate("caddy", "2.11.4", "2.11.4", true),
      ],
    }),
  });
  return id;
}

/** Some of the table of the host agent's posture, in its own words. */
const ATTACKS: readonly [id: string, layer: number, from: string, source: string, tries: string, seen: string][] = [
  ["perimeter.ssh", 1, "outside", "CIS 2.4", "reach SSH from a stranger's network", "no answer within 2 s"],
  ["perimeter.docker", 2, "outside", "CIS 2.7", "reach the Docker API from outside", "no answer within 2 s"],
  ["neighbour.tcp", 3, "inside", "2602.20021 case 4", "open a connection to another agent", "EHOSTUNREACH"],
  ["neighbour.forged", 3, "namespace", "2602.20021 case 4", "send packets in a neighbour's name", "no packet arrived"],
  ["host.agent", 3, "inside", "CIS 5.31", "reach the host agent's own ports", "no answer within 2 s"],
  ["world.metadata", 3, "inside", "2602.20021 case 7", "read the cloud's metadata", "no answer within 2 s"],
  ["world.private", 3, "inside", "RFC 1918", "reach private networks", "no answer within 2 s"],
  ["kernel.af-alg", 4, "inside", "CVE-2026-31431", "open an AF_ALG socket", "EPERM"],
  ["container.root", 4, "inside", "CIS 5.12", "write to its own system", "EROFS"],
  ["container.mount", 4, "inside", "CIS 5.3", "mount a file system", "EPERM"],
  ["container.pids", 4, "inside", "CIS 5.28", "fork without end", "EAGAIN after 240"],
  ["door.stranger", 5, "outside", "2602.20021 case 1", "open an agent without a session", "401 from the door"],
];
const attacks = (troubled: boolean) =>
  ATTACKS.map(([id, layer, from, source, tries, evidence], index) => ({
    ...{ id, layer, from, source, tries },
    outcome: layer === 1 ? "not_managed" : troubled && index === 5 ? "breached" : "held",
    evidence: troubled && index === 5 ? "it answered 200 with 312 bytes" : evidence,
  }));

/** How each of those stands at the payment provider who are there to be looked at. */
export async function bill(edge: Edge, payers: Readonly<Record<Payer, Account>>): Promise<void> {
  const client = createClient({ url: edge.databaseUrl, authToken: edge.databaseAuthToken });
  const database = drizzle({ client, casing: "snake_case" });
  const now = Date.now();
  const pro = { plan: "pro", standing: "paid", subscriptionId: "sub_of_", periodEndsAt: now + 12 * DAY } as const;
  const standings: Readonly<Record<Payer, object>> = {
    payer: pro,
    debtor: { ...pro, standing: "owing", owingSince: now - 2 * DAY },
    leaver: { ...pro, cancelsAt: now + 12 * DAY },
    former: { ...pro, standing: "ended", periodEndsAt: now - 3 * DAY, endedAt: now - 3 * DAY },
    latecomer: { trialEndsAt: now + 1 * DAY },
  };
  try {
    for (const [who, standing] of Object.entries(standings) as [Payer, object][]) {
      const { email } = payers[who].credentials();
      const [person] = await database.select({ id: db.user.id }).from(db.user).where(eq(db.user.email, email));
      await database.insert(db.billingAccounts).values({
        ...{
          ownerId: person?.id ?? "",
          openedAt: now - 90 * DAY,
          trialEndsAt: now - 76 * DAY,
          reviewAt: now + 900 * DAY,
        },
        ...standing,
        ...("subscriptionId" in standing && { subscriptionId: `sub_of_${who}` }),
      });
    }
  } finally {
    client.close();
  }
}

/** The people beside Ada, as their accounts stand at the payment provider. */
async function others(database: LibSQLDatabase, now: number): Promise<void> {
  const account = (index: number, more: Partial<typeof db.billingAccounts.$inferInsert>) => ({
    ...{
      ownerId: `usr_lab_${index}`,
      openedAt: now - 90 * DAY,
      trialEndsAt: now - 76 * DAY,
      reviewAt: now + 900 * DAY,
    },
    ...more,
  });
  const paid = (plan: "starter" | "pro" | "team", more = {}) => ({
    ...{ plan, standing: "paid" as const, subscriptionId: `sub_${plan}`, periodEndsAt: now + 12 * DAY },
    ...more,
  });
  const plans = ["starter", "starter", "starter", "pro", "pro", "pro", "pro", "pro", "team"] as const;
  await database
    .insert(db.billingAccounts)
    .values([
      ...plans.map((plan, index) => account(index, paid(plan))),
      account(20, paid("pro", { cancelsAt: now + 12 * DAY })),
      account(21, paid("starter", { standing: "owing", owingSince: now - 2 * DAY })),
      ...[30, 31, 32, 33].map((index) => account(index, { trialEndsAt: now + 5 * DAY })),
    ]);
}

/** Ninety days of status with two bad hours, runs of the reaper, and an audit that is longer than a page. */
async function history(database: LibSQLDatabase, now: number): Promise<void> {
  const minute = Math.floor(now / MINUTE);
  const today = Math.floor(minute / 1440);
  const begun = minute - today * 1440;
  const dayOf = (component: string, ago: number) => {
    const bad = (component === "region:us" && ago === 31) || (component === "edge" && ago === 64) ? 74 : 0;
    const poor = component === "region:eu" && ago === 12 ? 26 : 0;
    const good = (ago === 0 ? begun : 1440) - bad - poor;
    return {
      component,
      day: today - ago,
      good,
      poor,
      bad,
      lastMinute: ago === 0 ? minute - 1 : (today - ago + 1) * 1440,
    };
  };
  const parts = ["edge", "database", "region:eu", "region:us"];
  const days = parts.flatMap((component) => Array.from({ length: 88 }, (_, ago) => dayOf(component, ago)));
  const incident = (component: string, level: "poor" | "bad", ago: number, minutes: number) => ({
    ...{ component, level, startedAt: now - ago * DAY, endedAt: now - ago * DAY + minutes * MINUTE },
  });
  await database.batch([
    // On a slow machine the edge has counted a minute by now.
    database.delete(db.statusDays),
    database.insert(db.statusDays).values(days),
    database
      .insert(db.statusIncidents)
      .values([
        incident("region:eu", "poor", 12, 26),
        incident("region:us", "bad", 31, 74),
        incident("edge", "bad", 64, 74),
      ]),
    database.insert(db.sweeps).values([sweepOf(now - 2 * DAY, []), sweepOf(now - DAY, ["object tenants/tnt_example"])]),
    database.insert(db.audit).values(
      Array.from({ length: 60 }, (_, index) => ({
        ...{ at: now - (60 - index) * 7 * MINUTE, actor: "system", action: "secret.deliver", subject: "tnt_example" },
        detail: JSON.stringify({ name: "ANTHROPIC_API_KEY", version: index + 1 }),
      })),
    ),
  ]);
}

function sweepOf(at: number, orphans: readonly string[]): typeof db.sweeps.$inferInsert {
  const firstSeenAt = new Date(at).toISOString();
  const listed = orphans.map((what) => ({ what, firstSeenAt }));
  const counts = { found: orphans.length, removed: 0 };
  const looked = { tables: 31, hosts: 3 };
  return { at, ...counts, report: JSON.stringify({ at: firstSeenAt, ...counts, orphans: listed, looked }) };
}
