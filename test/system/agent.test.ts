import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type Command, newId, type ObservedState, type TenantApply } from "../../schema/protocol/index.ts";
import { type AgentLab, applyCommand, type Census, createAgentLab, gone, whole } from "./agent-lab.ts";

let lab: AgentLab;
beforeAll(async () => {
  lab = await createAgentLab();
});
afterAll(() => lab?.destroy());

const until = <T>(check: () => T | Promise<T>) => vi.waitFor(check, { timeout: 60_000, interval: 50 });
const heard = (tenantId: string, state: ObservedState, generation: number) =>
  until(() => expect(lab.lastState(tenantId)).toEqual({ state, generation }));

/** Like the edge's outbox: until the host has answered, however often it has to be said. */
async function tell(command: Command): Promise<void> {
  for (;;) {
    const outcome = await lab.edge.command(lab.socketPath, command).catch(() => null);
    if (outcome) return expect(outcome.status).not.toBe("refused");
    await sleep(50);
  }
}

async function purge(tenantId: string, generation: number): Promise<void> {
  await tell({ type: "tenant.purge", tenantId, generation });
  await heard(tenantId, "purged", generation);
  expect(await lab.census(tenantId)).toEqual(gone);
}

test("runs a tenant behind the whole of a real host, and leaves nothing of it", async () => {
  await lab.start();
  const id = newId("tnt");
  const secretsJwe = await lab.edge.seal(id, 1, { ANTHROPIC_API_KEY: "sk-lab" });
  expect(await lab.edge.command(lab.socketPath, applyCommand(id, { secretsJwe }))).toEqual({ status: "accepted" });
  await heard(id, "running", 1);
  expect(await lab.census(id)).toEqual(whole);
  await purge(id, 2);
  expect(await lab.kill("SIGTERM")).toEqual({ code: 0, signal: null });
  expect(lab.log()).not.toContain("sk-lab");
});

test("leaves containers running when it ends, and adopts them untouched when it is back", async () => {
  await lab.start();
  const id = newId("tnt");
  await tell(applyCommand(id));
  await heard(id, "running", 1);
  const startedAt = () =>
    lab.host.run("docker", [
      ...["-H", `unix://${lab.host.dockerSocket}`, "inspect", "--format", "{{.Id}} {{.State.StartedAt}}"],
      `chelar-${id}`,
    ]);
  const before = await startedAt();
  expect((await lab.kill("SIGKILL")).signal).toBe("SIGKILL");
  expect(await startedAt()).toBe(before);
  const said = lab.edge.reports.length;
  await lab.start();
  await until(() => expect(lab.log()).toContain(`tenant.reached tenant=${id}`));
  await until(() => expect(lab.edge.reports.length).toBeGreaterThan(said));
  expect(await startedAt()).toBe(before);
  expect(lab.edge.reports.slice(said).filter(({ type }) => type !== "host.inventory")).toEqual([]);
  await purge(id, 2);
  await lab.kill("SIGTERM");
});

test("starts again what was killed behind its back", async () => {
  await lab.start();
  const id = newId("tnt");
  await tell(applyCommand(id));
  await heard(id, "running", 1);
  const said = lab.edge.reports.length;
  await lab.host.run("docker", ["-H", `unix://${lab.host.dockerSocket}`, "kill", `chelar-${id}`]);
  const states = () => lab.edge.reports.slice(said).flatMap((one) => (one.type === "tenant.state" ? [one.state] : []));
  await until(() => expect(states()).toEqual(["creating", "running"]));
  expect(await lab.census(id)).toEqual(whole);
  await purge(id, 2);
  await lab.kill("SIGTERM");
});

test("gets through an engine that dies in the middle of a creation", async () => {
  await lab.start();
  const id = newId("tnt");
  await tell(applyCommand(id));
  await lab.host.stopDocker("SIGKILL");
  await sleep(500);
  await lab.host.startDocker();
  await heard(id, "running", 1);
  expect(await lab.census(id)).toEqual(whole);
  await purge(id, 2);
  await lab.kill("SIGTERM");
});

test("tells an edge that was away everything, in order", async () => {
  await lab.start();
  const id = newId("tnt");
  lab.edge.listening = false;
  await tell(applyCommand(id));
  await until(async () => expect(await lab.census(id)).toEqual(whole));
  await lab.kill("SIGKILL");
  await lab.start();
  lab.edge.listening = true;
  await heard(id, "running", 1);
  const seqs = lab.edge.reports.map(({ seq }) => seq);
  expect(seqs).toEqual([...new Set(seqs)].sort((a, b) => a - b));
  await purge(id, 2);
  await lab.kill("SIGTERM");
});

function counted(kills: number): void {
  console.log(`${expect.getState().currentTestName}: ${kills} kills`);
  expect(kills).toBeGreaterThan(0);
}

/** What an owner says, one word after another, and what must be on the host in the end. */
const stories: readonly { name: string; words: readonly Partial<TenantApply>[]; ends: ObservedState; left: Census }[] =
  [
    { name: "create", words: [{}], ends: "running", left: whole },
    { name: "restart", words: [{}, { generation: 2, restarts: 1 }], ends: "running", left: whole },
    {
      name: "stop",
      words: [{}, { generation: 2, desired: "stopped" }],
      ends: "stopped",
      left: { ...gone, networks: 1, directories: 3 },
    },
    {
      name: "suspend",
      words: [{}, { generation: 2, desired: "suspended" }],
      ends: "suspended",
      left: { ...whole, running: 0 },
    },
  ];

/** All of them with CHELAR_FAULTS=all (several minutes); every fourth otherwise. */
const EVERY = process.env.CHELAR_FAULTS === "all" ? 1 : 4;

describe("kill -9 after every commit of the journal", () => {
  test.each(stories)("$name converges every time", { timeout: 900_000 }, async ({ words, ends, left }) => {
    const before = words.slice(0, -1);
    const last = words.at(-1) ?? {};
    const generation = words.length;
    for (let commits = 1, kills = 0; ; commits += EVERY, kills++) {
      const id = newId("tnt");
      if (before.length > 0) {
        await lab.start();
        for (const word of before) await tell(applyCommand(id, word));
        await heard(id, "running", before.length);
        await lab.kill("SIGTERM");
      }
      const dying = await lab.startDying(commits);
      await lab.edge.command(lab.socketPath, applyCommand(id, last)).catch(() => null);
      const arrived = () => lab.lastState(id)?.generation === generation && lab.lastState(id)?.state === ends;
      await until(() => expect(dying.dead() || arrived()).toBe(true));
      const wasKilled = dying.dead();
      await lab.kill("SIGKILL");
      await lab.start();
      await tell(applyCommand(id, last));
      await heard(id, ends, generation);
      expect(await lab.census(id)).toEqual(left);
      await purge(id, generation + 1);
      await lab.kill("SIGTERM");
      if (!wasKilled) return counted(kills);
    }
  });

  test("purge converges every time", { timeout: 900_000 }, async () => {
    for (let commits = 1, kills = 0; ; commits += EVERY, kills++) {
      const id = newId("tnt");
      await lab.start();
      await tell(applyCommand(id));
      await heard(id, "running", 1);
      await lab.kill("SIGTERM");
      const dying = await lab.startDying(commits);
      const word = { type: "tenant.purge", tenantId: id, generation: 2 } as const;
      await lab.edge.command(lab.socketPath, word).catch(() => null);
      await until(() => expect(dying.dead() || lab.lastState(id)?.state === "purged").toBe(true));
      const wasKilled = dying.dead();
      await lab.kill("SIGKILL");
      await lab.start();
      await purge(id, 2);
      await lab.kill("SIGTERM");
      if (!wasKilled) return counted(kills);
    }
  });
});
