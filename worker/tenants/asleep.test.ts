import { eq } from "drizzle-orm";
import { beforeAll, expect, it } from "vitest";
import { outbox, tenantStatus, tenants } from "../../schema/db/index.ts";
import { parseEnv } from "../env.ts";
import { testBindings } from "../testing/edge.ts";
import { proveGone } from "../testing/leaving.ts";
import { type Settled, startSettled } from "../testing/settled.ts";
import { sleepOf } from "./plans.ts";

let { edge, host, owner } = {} as Settled;

beforeAll(async () => {
  ({ edge, host, owner } = await startSettled());
});

it("an agent whose host has put it to sleep is shown asleep, stays wanted, and is not told anything again", async () => {
  const { id } = (await owner.create()).body;
  const state = { type: "tenant.state", tenantId: id, generation: 1 } as const;
  await host.post(edge, await host.report({ ...state, state: "running" }));
  await host.post(edge, await host.report({ ...state, state: "asleep" }));
  const read = async () => (await owner.request("GET", `/api/v1/tenants/${id}`)).json();
  expect(await read()).toMatchObject({ state: "asleep", desired: "running", generation: 1 });
  const anHourAgo = Date.now() - 3_600_000;
  await edge.db.update(tenants).set({ updatedAt: anHourAgo });
  await edge.db.update(outbox).set({ createdAt: anHourAgo, deliveredAt: anHourAgo });
  const asleep = [{ tenantId: id, generation: 1, state: "asleep" } as const];
  const capacity = { memoryMiB: 65_536, diskMiB: 1_000_000, tenants: 100 };
  const inventory = { type: "host.inventory" as const, tenants: asleep, images: [], versions: {}, capacity };
  await host.post(edge, await host.report(inventory));
  const about = () => host.commands.filter((one) => one.type === "tenant.apply" && one.tenant.id === id);
  await edge.tick();
  expect(about()).toHaveLength(1);
  await host.post(edge, await host.report({ ...state, state: "running" }));
  expect(await read()).toMatchObject({ state: "running", generation: 1 });
});

it("sleep is a matter of the plan: who pays for an agent that is always on gets one", async () => {
  const { id } = (await owner.create()).body;
  const spec = () => host.commands.findLast((one) => one.type === "tenant.apply" && one.tenant.id === id);
  expect(spec()).not.toHaveProperty("tenant.sleep");
  await edge.db.update(tenants).set({ plan: "starter" }).where(eq(tenants.id, id));
  await owner.request("POST", `/api/v1/tenants/${id}/restart`);
  expect(spec()).toHaveProperty("tenant.sleep", { pauseAfterSeconds: 3, stopAfterSeconds: 6 });
  const { sleep } = parseEnv(await testBindings());
  expect(sleepOf("openclaw", "starter", sleep)).toEqual({ pauseAfterSeconds: 300, stopAfterSeconds: 3600 });
  expect(sleepOf("openclaw", "pro", sleep)).toBeUndefined();
});

it("how an agent is stands on its page while it lives, and is forgotten with it", async () => {
  const { id } = (await owner.create()).body;
  await host.post(edge, await host.report({ type: "tenant.state", tenantId: id, generation: 1, state: "running" }));
  const read = async () => (await owner.request("GET", `/api/v1/tenants/${id}`)).json();
  expect(await read()).toMatchObject({ status: null });
  const jobs = [
    { enabled: false, nextRunAt: 1_000 },
    { enabled: true, nextRunAt: 2_000 },
  ];
  const channels = [{ name: "telegram", connected: true }];
  const status = { type: "tenant.status" as const, tenantId: id, memoryMiB: 700, cpuPercent: 3, pids: 33 };
  await host.post(edge, await host.report({ ...status, runtime: { healthy: true, jobs, channels } }));
  expect(await read()).toMatchObject({
    status: { healthy: true, memoryMiB: 700, jobs: 1, nextJobAt: "1970-01-01T00:00:02.000Z", channels },
  });
  const html = await (await owner.request("GET", `/agents/${id}`)).text();
  expect(html).toContain("How it is");
  expect(html).toContain("700 MiB");
  await owner.request("DELETE", `/api/v1/tenants/${id}`);
  await proveGone(edge, host, id);
  expect(await edge.db.select().from(tenantStatus).where(eq(tenantStatus.tenantId, id))).toEqual([]);
});
