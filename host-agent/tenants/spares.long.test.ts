import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { newId } from "../../schema/protocol/index.ts";
import { applyCommand, createTestEdge, enrolledJournal, startTestAgent, testDirectory } from "../testing.ts";
import { slotNetwork } from "./layout.ts";
import { createModelHost, PLACE } from "./model-host.ts";
import { createSpares } from "./spares.ts";

const until = (check: () => void) => vi.waitFor(check, { timeout: 20_000, interval: 5 });

async function agentWithSpares(count: number, slots = 8) {
  const edge = await createTestEdge();
  const path = join(testDirectory(onTestFinished), "journal.db");
  const host = createModelHost();
  const start = async () => {
    const agent = await startTestAgent({ path, edge, host, slots, spares: count });
    await agent.supervisor.start();
    agent.spares.refillSoon();
    return agent;
  };
  return { host, start };
}

test("a new tenant is given a slot whose network stands already, and the next spare is made", async () => {
  const { host, start } = await agentWithSpares(2);
  const agent = await start();
  onTestFinished(() => agent.stop());
  await until(() => expect([...host.networks]).toEqual(["chl0", "chl1"]));
  const [first, second] = [newId("tnt"), newId("tnt")];
  await agent.command(applyCommand(first));
  await until(() => expect([...host.networks]).toEqual(["chl0", "chl1", "chl2"]));
  expect(agent.journal.tenants.get(first)?.slot).toBe(0);

  // Its network goes with its tenant: the next one takes a slot that stands, not the lowest.
  await agent.command({ type: "tenant.purge", tenantId: first, generation: 2 });
  await until(() => expect([...host.networks]).toEqual(["chl1", "chl2"]));
  await agent.command(applyCommand(second));
  await until(() => expect(agent.states(second)).toEqual(["creating", "running"]));
  expect(agent.journal.tenants.get(second)?.slot).toBe(1);
  await until(() => expect([...host.networks].sort()).toEqual(["chl0", "chl1", "chl2"]));
});

test("spares are neither lost nor multiplied by restarts of the agent", async () => {
  const { host, start } = await agentWithSpares(2);
  for (let round = 0; round < 3; round++) {
    const agent = await start();
    await until(() => expect([...host.networks]).toEqual(["chl0", "chl1"]));
    await agent.stop();
  }
});

test("the last slots of a host are given to tenants, spare or not", async () => {
  const { host, start } = await agentWithSpares(5, 2);
  const agent = await start();
  onTestFinished(() => agent.stop());
  await until(() => expect(host.networks.size).toBe(2));
  const ids = [newId("tnt"), newId("tnt")];
  for (const id of ids) await agent.command(applyCommand(id));
  await until(() => expect(ids.map((id) => agent.states(id).at(-1))).toEqual(["running", "running"]));
});

test("a slot that a tenant was given while its spare was being made is no spare", async () => {
  const edge = await createTestEdge();
  const journal = enrolledJournal(join(testDirectory(onTestFinished), "journal.db"), edge);
  const [slow, other] = [newId("tnt"), newId("tnt")];
  for (const id of [slow, other]) {
    const command = applyCommand(id);
    journal.accept([{ jti: id.slice(4, 26), hash: id.slice(4).padEnd(43, "h"), expSeconds: 2e9, atMs: 0, command }]);
  }
  const asked: string[] = [];
  const spares = createSpares({
    ...{ count: 1, slots: 8, journal },
    networkOf: (slot) => slotNetwork(PLACE.pool, slot),
    containers: {
      async ensureNetwork({ network }) {
        asked.push(network);
        if (network === "chl0") expect(journal.tenants.place(slow, 8)?.slot).toBe(0);
      },
    },
    log: { info() {}, warn() {}, error() {} },
  });
  onTestFinished(() => spares.stop());
  spares.refillSoon();
  await until(() => expect(asked).toEqual(["chl0", "chl1"]));
  await until(() => expect(spares.place(other)?.slot).toBe(1));
});
