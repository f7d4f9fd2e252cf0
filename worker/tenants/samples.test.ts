import { eq } from "drizzle-orm";
import { beforeAll, expect, it } from "vitest";
import { tenantSamples } from "../../schema/db/index.ts";
import { Client } from "../testing/edge.ts";
import { proveGone } from "../testing/leaving.ts";
import { type Settled, startSettled } from "../testing/settled.ts";
import { samplesOf } from "./samples.ts";

const MINUTE_MS = 60_000;
let { edge, host, owner } = {} as Settled;

beforeAll(async () => {
  ({ edge, host, owner } = await startSettled());
});

/** An agent, and a way for its host to say how it was. */
async function agent() {
  const { id } = (await owner.create()).body;
  const status = { type: "tenant.status" as const, tenantId: id, cpuPercent: 3, pids: 33, runtime: null };
  return {
    id,
    says: async (at: number, memoryMiB: number, requests?: number) =>
      host.post(edge, await host.report({ ...status, at, memoryMiB, requests })),
    rows: () => edge.db.select().from(tenantSamples).where(eq(tenantSamples.tenantId, id)),
  };
}

it("keeps one sample for each minute, and adds up the requests within it", async () => {
  const { id, says } = await agent();
  const at = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS - 10 * MINUTE_MS;
  await says(at, 500, 3);
  await says(at + 30_000, 510, 4);
  await says(at + MINUTE_MS, 520);
  const samples = await samplesOf(edge.db, id, Date.now());
  expect(samples.map(({ memoryMiB, requests, diskMiB }) => [memoryMiB, requests, diskMiB])).toEqual([
    [510, 7, null],
    [520, null, null],
  ]);
});

it("forgets what is older than a day, also of a host whose clock runs ahead", async () => {
  const { says, rows } = await agent();
  await says(Date.now() - 26 * 3_600_000, 100);
  expect(await rows()).toEqual([]);
  await says(Date.now() + 30 * 24 * 3_600_000, 200);
  expect((await rows()).map(({ minute }) => minute * MINUTE_MS <= edge.world.now())).toEqual([true]);
});

it("is shown to the owner alone, and gone with the agent", async () => {
  const { id, says, rows } = await agent();
  await host.post(edge, await host.report({ type: "tenant.state", tenantId: id, generation: 1, state: "running" }));
  await says(Date.now() - 2 * MINUTE_MS, 300, 1);
  await says(Date.now(), 400, 1);
  const stranger = await new Client(edge).signUp();
  expect(await (await owner.request("GET", `/agents/${id}`)).text()).toContain("300 MiB to 400 MiB");
  expect((await stranger.request("GET", `/agents/${id}`)).status).toBe(404);
  await owner.request("DELETE", `/api/v1/tenants/${id}`);
  await proveGone(edge, host, id);
  expect(await rows()).toEqual([]);
});
