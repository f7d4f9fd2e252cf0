import { eq, inArray } from "drizzle-orm";
import { beforeAll, expect, it } from "vitest";
import { alerts, hosts, tenants } from "../../schema/db/index.ts";
import { atomically } from "../db.ts";
import { limitsOf } from "../tenants/index.ts";
import { settle } from "../tenants/service.ts";
import { Client, startTestEdge, type TestEdge } from "../testing/edge.ts";
import { TestHost } from "../testing/host.ts";
import { createPlacement } from "./placement.ts";
import { announce } from "./store.ts";

let edge: TestEdge;
let host: TestHost;
beforeAll(async () => {
  host = await TestHost.make();
  edge = await startTestEdge({ fetch: host.fetch });
  const [small, large] = [limitsOf("openclaw", "starter"), limitsOf("openclaw", "team")];
  // Room for two small ones, and for one of them to grow.
  const capacity = { memoryMiB: 100_000, diskMiB: small.diskMiB + large.diskMiB, tenants: 10 };
  expect((await host.enrol(edge, { capacity: { ...capacity, diskMiB: 1_000_000 } })).ok).toBe(true);
  const owner = await new Client(edge).signUp();
  for (let made = 0; made < 2; made++) expect((await owner.create()).status).toBe(201);
  await edge.db.update(tenants).set({ plan: "starter", runtime: "openclaw" });
  await edge.db.update(hosts).set({ diskMiB: capacity.diskMiB });
});
const rowsNow = () => edge.db.select().from(tenants).orderBy(tenants.createdAt, tenants.id);

it("a larger plan that a server has no room for waits, and its operator hears of it", async () => {
  const placement = createPlacement(edge);
  const rows = await rowsNow();
  const crowded = await placement.crowded(rows, "team");
  expect([...crowded]).toEqual([rows[1]?.id]);
  const ownerId = rows[0]?.ownerId ?? "";
  const allowance = { plan: "team", tenants: 10, remove: false, crowded };
  const now = edge.world.now();
  const settled = settle(edge.db, { ownerId, rows, allowance }, (row) => announce(edge.db, row, now), now);
  const growing = rows.filter(({ id }) => !crowded.has(id));
  await atomically(edge.db, [...settled.statements, ...placement.keepPromises(growing, "team")]);
  expect((await rowsNow()).map(({ plan }) => plan)).toEqual(["team", "starter"]);
  await placement.crowded(await rowsNow(), "team");
  const raised = await edge.db.select().from(alerts).where(eq(alerts.subject, host.enrolment.hostId));
  expect(raised).toMatchObject([{ kind: "no_capacity", resolvedAt: null }]);
});

it("two that grow at once into the last room do not both get it", async () => {
  await edge.db.update(tenants).set({ plan: "starter" });
  const placement = createPlacement(edge);
  const rows = await rowsNow();
  // Each was looked at before the other was written.
  const grow = (id: string) => {
    const mine = rows.filter((row) => row.id === id);
    const change = edge.db
      .update(tenants)
      .set({ plan: "team" })
      .where(inArray(tenants.id, [id]));
    return atomically(edge.db, [change, ...placement.keepPromises(mine, "team")]);
  };
  const ends = await Promise.allSettled(rows.map(({ id }) => grow(id)));
  expect(ends.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
  expect((await rowsNow()).filter(({ plan }) => plan === "team")).toHaveLength(1);
});
