import { eq } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { channelCounts, hostLeftovers, session, tenantEvents, tenants } from "../../schema/db/index.ts";
import { type Leftover, newId } from "../../schema/protocol/index.ts";
import { OPERATOR_TOKEN, randomText } from "../testing/edge.ts";
import { type Settled, startSettled } from "../testing/settled.ts";
import type { Sweep } from "./reaper.ts";

const DAY_MS = 24 * 3_600_000;
let { edge, host, owner } = {} as Settled;
beforeAll(async () => {
  ({ edge, host, owner } = await startSettled());
});

const asOperator = { headers: { authorization: `Bearer ${OPERATOR_TOKEN}` } };
async function sweep(): Promise<Sweep> {
  const answer = await edge.send("/api/v1/operator/sweeps", { method: "POST", ...asOperator });
  expect(answer.status).toBe(200);
  return (await answer.json()) as Sweep;
}
const named = ({ orphans }: Sweep) => orphans.map(({ what }) => what);
const tell = async (items: Leftover[]) => {
  await host.post(edge, await host.report({ type: "host.leftovers", items }));
  return (await edge.db.select().from(hostLeftovers)).length;
};
const reaped = () => host.commands.flatMap((command) => (command.type === "host.reap" ? command.items : []));

describe("the sweep", () => {
  it("finds nothing where all is somebody's, and says that it has looked", async () => {
    const { id, name } = (await owner.create()).body;
    // What only looks like an orphan: all of a living agent, that its host's journal may have lost.
    await tell([
      { kind: "directory", name: id },
      { kind: "copies", name: id },
      { kind: "certificate", name: `${name}.agents.example` },
      { kind: "certificate", name: "host-1.chelar.example" },
    ]);
    expect(await sweep()).toMatchObject({ found: 0, removed: 0, looked: { hosts: 1 } });
    const { sweeps } = (await (await edge.send("/api/v1/operator/sweeps", asOperator)).json()) as { sweeps: Sweep[] };
    expect(sweeps[0]).toMatchObject({ found: 0 });
    expect((await edge.send("/api/v1/operator/sweeps")).status).toBe(401);
  });

  it("removes what was nobody's for a week, by the host that has it, and nothing before", async () => {
    const [gone, living] = [newId("tnt"), (await owner.create()).body.id];
    const items: Leftover[] = [
      { kind: "directory", name: gone },
      { kind: "copies", name: gone },
      { kind: "certificate", name: "gone.agents.example" },
    ];
    await tell([...items, { kind: "directory", name: living }]);
    await edge.db.insert(tenantEvents).values({ tenantId: gone, generation: 1, at: 1, step: "route", status: "done" });
    await edge.db.insert(channelCounts).values({ channelId: randomText(), day: "2026-11-22", what: "taken", n: 1 });
    const first = await sweep();
    expect(first).toMatchObject({ found: 5, removed: 0 });
    expect(named(first)).toContain(`row tenant_events ${gone}`);
    edge.world.forward(6 * DAY_MS);
    expect(await sweep()).toMatchObject({ found: 5, removed: 0 });
    edge.world.forward(DAY_MS + 1_000);
    expect(await sweep()).toMatchObject({ found: 5, removed: 5 });
    expect(reaped()).toEqual(items);
    await tell([]);
    expect(await sweep()).toMatchObject({ found: 0, removed: 0 });
    expect((await edge.db.select().from(tenantEvents).where(eq(tenantEvents.tenantId, living))).length).toBeGreaterThan(
      0,
    );
  });

  it("begins the week anew for what had an owner in between", async () => {
    const stray = newId("tnt");
    await tell([{ kind: "copies", name: stray }]);
    await sweep();
    edge.world.forward(4 * DAY_MS);
    await tell([]);
    await sweep();
    await tell([{ kind: "copies", name: stray }]);
    await sweep();
    edge.world.forward(4 * DAY_MS);
    expect(await sweep()).toMatchObject({ found: 1, removed: 0 });
    await tell([]);
  });

  it("takes an agent without a person through the chain of every deletion", async () => {
    const { id } = (await owner.create()).body;
    await edge.db.update(tenants).set({ ownerId: "nobody" }).where(eq(tenants.id, id));
    expect(named(await sweep())).toEqual([`agent ${id}`]);
    edge.world.forward(7 * DAY_MS + 1_000);
    expect(await sweep()).toMatchObject({ removed: 1 });
    expect(host.commands).toContainEqual(expect.objectContaining({ type: "tenant.purge", tenantId: id }));
    expect(await edge.db.select().from(session).where(eq(session.userId, "nobody"))).toEqual([]);
  });

  it("happens once a day by itself", async () => {
    const count = async () =>
      ((await (await edge.send("/api/v1/operator/sweeps", asOperator)).json()) as { sweeps: Sweep[] }).sweeps.length;
    const before = await count();
    edge.world.forward(DAY_MS + 1_000);
    await edge.tick();
    await edge.tick();
    expect(await count()).toBe(before + 1);
  });
});
