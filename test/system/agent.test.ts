import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type Command, newId, type ObservedState } from "../../schema/protocol/index.ts";
import { killEverywhere, sampleOf } from "../faults/kills.ts";
import { STORIES } from "../faults/stories.ts";
import { type AgentLab, applyCommand, createAgentLab, gone, whole } from "./agent-lab.ts";

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

test("sees at its start what a hand has changed meanwhile: owner, quota, mount, container and network", async () => {
  await lab.start();
  const id = newId("tnt");
  await tell(applyCommand(id));
  await heard(id, "running", 1);
  const [data, live] = [`${lab.stateDir}/mounts/${id}`, `${lab.stateDir}/volumes/${id}/live`];
  const docker = (...args: string[]) => lab.host.run("docker", ["-H", `unix://${lab.host.dockerSocket}`, ...args]);
  const ownerOf = async () => (await lab.host.run("stat", ["--format", "%u", data])).trim();
  const quota = () => lab.host.run("btrfs", ["qgroup", "show", "--raw", "-rf", live]);
  const owner = await ownerOf();
  const network = (await docker("inspect", "--format", "{{.HostConfig.NetworkMode}}", `chelar-${id}`)).trim();
  const changes: Record<string, () => Promise<unknown>> = {
    owner: () => lab.host.run("chown", ["0:0", data]),
    quota: () => lab.host.run("btrfs", ["qgroup", "limit", "none", live]),
    mount: () => lab.host.run("umount", [data]),
    container: () => docker("rm", "--force", `chelar-${id}`),
    network: () => docker("network", "rm", network),
  };
  for (const together of [["owner", "quota"], ["mount"], ["container", "network"]]) {
    await lab.kill("SIGKILL");
    for (const what of together) await changes[what]?.();
    const from = lab.log().length;
    await lab.start();
    await until(() => expect(lab.log().slice(from)).toContain(`tenant.reached tenant=${id}`));
    expect(await lab.census(id), together.join()).toEqual(whole);
    expect(await ownerOf()).toBe(owner);
    expect(await quota()).toMatch(/\s67108864\s/);
  }
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

test("takes an engine that hangs for one that is away, and goes on by itself when it answers", async () => {
  await lab.start();
  const [ran, id] = [newId("tnt"), newId("tnt")];
  await tell(applyCommand(ran));
  await heard(ran, "running", 1);
  const inventories = () => lab.edge.reports.flatMap((one) => (one.type === "host.inventory" ? [one.engine] : []));
  const engine = Number(readFileSync(`${lab.host.dir}/d.pid`, "utf8"));
  process.kill(engine, "SIGSTOP");
  try {
    await tell(applyCommand(id));
    await until(() => expect(inventories().at(-1)).toBe("away"));
    expect(lab.lastState(id)).toEqual({ state: "creating", generation: 1 });
  } finally {
    process.kill(engine, "SIGCONT");
  }
  await heard(id, "running", 1);
  await until(() => expect(inventories().at(-1)).toBe("answers"));
  expect(await lab.census(id, 1)).toEqual(whole);
  expect(await lab.census(ran, 1)).toEqual(whole);
  expect(lab.log()).not.toContain(`tenant.stopped_by_itself tenant=${ran}`);
  for (const one of [ran, id]) await tell({ type: "tenant.purge", tenantId: one, generation: 2 });
  for (const one of [ran, id]) await heard(one, "purged", 2);
  expect(await lab.census(id)).toEqual(gone);
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

/** After every one in `npm run faults`. */
describe("kill -9 after commits of the journal", () => {
  afterAll(() => lab.kill("SIGKILL"));

  test.each(STORIES)("$name converges every time", { timeout: 900_000 }, async (story) => {
    const tally = await killEverywhere(lab, story, sampleOf(story), console.log);
    expect(tally).toEqual({ ...tally, converged: tally.kills, orphans: 0, lostAcknowledged: 0 });
    expect(tally.kills).toBeGreaterThan(0);
  });
});
