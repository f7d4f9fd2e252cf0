import { join } from "node:path";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { newId, type TenantApply } from "../../schema/protocol/index.ts";
import { applyCommand, createTestEdge, startTestAgent, testDirectory } from "../testing.ts";
import { createModelHost, KillError, layoutFor } from "./model-host.ts";
import { EngineAwayError } from "./ports.ts";
import { REACHED } from "./rules.ts";

const until = (check: () => void) => vi.waitFor(check, { timeout: 20_000, interval: 5 });

async function setUp() {
  const edge = await createTestEdge();
  const path = join(testDirectory(onTestFinished), "journal.db");
  const host = createModelHost();
  const start = async (more: Partial<Parameters<typeof startTestAgent>[0]> = {}) => {
    const agent = await startTestAgent({ path, edge, host, ...more });
    await agent.supervisor.start();
    return agent;
  };
  return { edge, host, start, path };
}

/** An agent that has been told of one tenant, and has acknowledged it. */
async function withTenant() {
  const { edge, host, start } = await setUp();
  const agent = await start();
  const id = newId("tnt");
  await agent.command(applyCommand(id));
  return { edge, host, start, agent, id };
}

/** How many visitors' ways there were each time that a container began. */
function watchRoutes(host: ReturnType<typeof createModelHost>): number[] {
  const routesAtStart: number[] = [];
  host.onStart = () => {
    routesAtStart.push(host.routes.size);
    return "ready";
  };
  return routesAtStart;
}

const nothingLeft = { containers: 0, networks: 0, volumes: 0, configs: 0, envs: 0, routes: 0 };
const census = (host: ReturnType<typeof createModelHost>) => ({
  containers: host.containers.size,
  networks: host.networks.size,
  volumes: host.volumes.size,
  configs: host.configs.size,
  envs: host.envs.size,
  routes: host.routes.size,
});

describe("one tenant", () => {
  test("goes from a command to a routed container, and tells every step", async () => {
    const { edge, host, start } = await setUp();
    const agent = await start();
    const id = newId("tnt");
    const secretsJwe = await edge.seal(id, 1, { ANTHROPIC_API_KEY: "sk-test" });
    await agent.command(applyCommand(id, { secretsJwe }));
    await until(() => expect(agent.states(id)).toEqual(["creating", "running"]));
    expect(census(host)).toEqual({ ...nothingLeft, containers: 1, networks: 1, volumes: 1, configs: 1, routes: 1 });
    expect(host.startedEnv.get(id)).toEqual({ ANTHROPIC_API_KEY: "sk-test" });
    expect([...host.routes.values()]).toEqual([
      { tenantId: id, upstream: `${layoutFor(id, 200_000, 0).address}:8080`, requestsPerMinute: 600 },
    ]);
    const done = agent
      .reports()
      .flatMap((one) => (one.type === "tenant.progress" && one.status === "done" ? [one.step] : []));
    expect(done[0]).toBe("accept");
    expect(new Set(done)).toEqual(
      new Set(["accept", "image", "uid", "volume", "network", "firewall", "config", "container", "health", "route"]),
    );
    expect(done).toHaveLength(10);
    const seqs = agent.reports().map(({ seq }) => seq);
    expect(seqs).toEqual([...seqs].sort((a, b) => a - b));
    await agent.stop();
  });

  test("restarts gracefully when its owner asks, once", async () => {
    const { host, agent, id } = await withTenant();
    await until(() => expect(agent.states(id)).toContain("running"));
    const routesAtStart = watchRoutes(host);
    await agent.command(applyCommand(id, { generation: 2, restarts: 1 }));
    await until(() => expect(agent.states(id)).toEqual(["creating", "running", "creating", "running"]));
    expect(routesAtStart[0]).toBe(0);
    expect(host.containers.get(id)).toMatchObject({ running: true, restarts: 1, starts: 1 });
    await agent.command(applyCommand(id, { generation: 2, restarts: 1 }));
    await agent.supervisor.sweep();
    expect(host.containers.get(id)).toMatchObject({ starts: 1 });
    expect(host.violations).toEqual([]);
    await agent.stop();
  });

  test("keeps its data, its UID and its address over stop and start", async () => {
    const { host, agent, id } = await withTenant();
    await until(() => expect(agent.states(id)).toContain("running"));
    const before = agent.journal.tenants.get(id);
    await agent.command(applyCommand(id, { generation: 2, desired: "stopped" }));
    await until(() => expect(agent.states(id)).toContain("stopped"));
    expect(census(host)).toEqual({ ...nothingLeft, networks: 1, volumes: 1, configs: 1 });
    expect(host.volumes.get(id)?.open).toBe(false);
    await agent.command(applyCommand(id, { generation: 3 }));
    await until(() => expect(agent.states(id).at(-1)).toBe("running"));
    expect(agent.journal.tenants.get(id)).toMatchObject({ uid: before?.uid, slot: before?.slot });
    await agent.stop();
  });

  test("leaves nothing behind a purge, and its slot to the next one, but never its UID", async () => {
    const { host, start } = await setUp();
    const agent = await start();
    const [id, next] = [newId("tnt"), newId("tnt")];
    await agent.command(applyCommand(id));
    await until(() => expect(agent.states(id)).toContain("running"));
    await agent.command({ type: "tenant.purge", tenantId: id, generation: 2 });
    await until(() => expect(agent.states(id)).toContain("purged"));
    expect(census(host)).toEqual(nothingLeft);
    // A look at its data that ends only now.
    agent.journal.data.put(id, { strays: 3 });
    expect(agent.journal.data.get(id).strays).toBe(0);
    expect(agent.journal.tenants.get(id)).toMatchObject({ spec: null, secretsJwe: null, slot: null, uid: 200_000 });
    await agent.command(applyCommand(next));
    await until(() => expect(agent.states(next)).toContain("running"));
    expect(agent.journal.tenants.get(next)).toMatchObject({ slot: 0, uid: 200_001 });
    await agent.stop();
  });

  test("is ended without losing its data when the edge does not know it, and comes back when it does", async () => {
    const { host, start } = await setUp();
    const agent = await start();
    const [id, unknown] = [newId("tnt"), newId("tnt")];
    await agent.command(applyCommand(id));
    await until(() => expect(agent.states(id)).toContain("running"));
    expect(await agent.command({ type: "tenant.halt", tenantId: id, generation: 1 })).toMatchObject({
      reason: "generation_conflict",
    });
    expect(await agent.command({ type: "tenant.halt", tenantId: id, generation: 2 })).toEqual({ status: "accepted" });
    await until(() => expect(agent.states(id)).toContain("stopped"));
    expect(census(host)).toEqual({ ...nothingLeft, networks: 1, volumes: 1, configs: 1 });
    await agent.command(applyCommand(id, { generation: 3 }));
    await until(() => expect(agent.states(id).at(-1)).toBe("running"));
    const halt = await agent.command({ type: "tenant.halt", tenantId: unknown, generation: 9 });
    expect(halt).toEqual({ status: "already_applied" });
    expect(agent.journal.tenants.get(unknown)).toBeUndefined();
    await agent.stop();
  });

  test("follows the newest word when one overtakes another that is on its way", async () => {
    const { host, start } = await setUp();
    host.onStart = () => "hangs";
    const agent = await start();
    const id = newId("tnt");
    await agent.command(applyCommand(id));
    await until(() => expect(host.containers.get(id)?.running).toBe(true));
    await agent.command({ type: "tenant.purge", tenantId: id, generation: 2 });
    await until(() => expect(agent.states(id)).toEqual(["creating", "purged"]));
    expect(census(host)).toEqual(nothingLeft);
    await agent.stop();
  });

  test("removes the data of a tenant that only a lost journal knew", async () => {
    const { host, start } = await setUp();
    const agent = await start();
    const id = newId("tnt");
    host.volumes.set(id, { uid: 200_009, open: false, instance: 1 });
    await agent.command({ type: "tenant.purge", tenantId: id, generation: 9 });
    await until(() => expect(agent.states(id)).toContain("purged"));
    expect(census(host)).toEqual(nothingLeft);
    await agent.stop();
  });

  test("moves to another slot where the engine keeps half of a network that it was killed in making", async () => {
    const { host, start } = await setUp();
    host.halves.add("chl0").add("chl1");
    const agent = await start();
    const [id, next] = [newId("tnt"), newId("tnt")];
    await agent.command(applyCommand(id));
    await until(() => expect(agent.states(id)).toContain("running"));
    expect([...host.routes.values()]).toMatchObject([{ upstream: `${layoutFor(id, 200_000, 2).address}:8080` }]);
    expect([...host.networks]).toEqual(["chl2"]);
    await agent.command({ type: "tenant.purge", tenantId: id, generation: 2 });
    await until(() => expect(agent.states(id)).toContain("purged"));
    await agent.command(applyCommand(next));
    await until(() => expect(agent.states(next)).toContain("running"));
    expect(agent.journal.tenants.get(next)).toMatchObject({ slot: 2, uid: 200_001 });
    await agent.stop();
  });

  test("is not started behind a firewall that does not stand", async () => {
    const { host, start } = await setUp();
    const agent = await start();
    host.firewall = { differences: ["raw: rule 3 is missing"], repairable: false };
    const id = newId("tnt");
    await agent.command(applyCommand(id));
    await until(() =>
      expect(agent.reports()).toContainEqual(
        expect.objectContaining({ step: "firewall", status: "progress", detail: expect.stringContaining("firewall") }),
      ),
    );
    expect(host.containers.get(id)?.starts ?? 0).toBe(0);
    host.firewall.repairable = true;
    await until(() => expect(agent.states(id)).toContain("running"));
    expect(host.violations).toEqual([]);
    await agent.stop();
  });

  test("fails with a sentence for its owner when its secrets are not for this generation", async () => {
    const { edge, host, start } = await setUp();
    const agent = await start();
    const id = newId("tnt");
    const secretsJwe = await edge.seal(id, 1, { A: "old" });
    await agent.command(applyCommand(id, { generation: 2, secretsJwe }));
    await until(() => expect(agent.states(id)).toEqual(["creating", "failed"]));
    expect(host.containers.size + host.routes.size + host.envs.size).toBe(0);
    await agent.stop();
  });

  test("says that a host is full, and takes the next one when there is room", async () => {
    const { start } = await setUp();
    const agent = await start();
    const ids = Array.from({ length: 9 }, () => newId("tnt"));
    for (const id of ids) await agent.command(applyCommand(id));
    await until(() => expect(ids.flatMap(agent.states).filter((state) => state === "running")).toHaveLength(8));
    await until(() => expect(ids.flatMap(agent.states)).toContain("failed"));
    expect(new Set(agent.journal.tenants.all().map(({ slot }) => slot)).size).toBe(9);
    await agent.stop();
  });
});

describe("a container that ends by itself", () => {
  test("is started again, and nobody is sent to it meanwhile", async () => {
    const { host, agent, id } = await withTenant();
    await until(() => expect(agent.states(id)).toContain("running"));
    const routesAtStart = watchRoutes(host);
    host.crash(id);
    await until(() => expect(agent.states(id)).toEqual(["creating", "running", "creating", "running"]));
    expect(host.containers.get(id)).toMatchObject({ running: true, starts: 2 });
    expect(routesAtStart[0]).toBe(0);
    expect(host.envs.size).toBe(0);
    await agent.stop();
  });

  test("is tried again soon, also when the clock is set back during the pause", async () => {
    const { edge, start } = await setUp();
    let isAway = true;
    let setBackMs = 0;
    const agent = await start({
      nowMs: () => Date.now() - setBackMs,
      before(call) {
        if (call !== "containers.start" || !isAway) return;
        isAway = false;
        // The pause has begun by then: nothing of the model host waits for a timer.
        setImmediate(() => {
          setBackMs = 86_400_000;
        });
        throw new Error("the engine is away");
      },
    });
    const id = newId("tnt");
    // Its answer would be of a time that is still to come.
    await agent.desk(await edge.sign(applyCommand(id), Date.now()));
    await until(() => expect(agent.states(id)).toContain("running"));
    await agent.stop();
  });

  test("does not wait out its pause once the engine that was away is back", async () => {
    const { host, start } = await setUp();
    let isAway = true;
    const agent = await start({
      backoff: { firstMs: 3_600_000, maxMs: 3_600_000 },
      before(call) {
        if (isAway && call === "containers.start") throw new EngineAwayError("nobody answers");
      },
    });
    const id = newId("tnt");
    await agent.command(applyCommand(id));
    const detail = "The container engine is not answering.";
    await until(() => expect(agent.reports()).toContainEqual(expect.objectContaining({ step: "health", detail })));
    isAway = false;
    host.engineBack();
    await until(() => expect(agent.states(id)).toContain("running"));
    await agent.stop();
  });

  test("is not given up on for an engine that dies again and again", async () => {
    const { host, agent, id } = await withTenant();
    for (let starts = 1; starts <= 8; starts++) {
      await until(() => expect(host.routes.size).toBe(1));
      expect(host.containers.get(id)).toMatchObject({ running: true, starts });
      host.routes.clear();
      Object.assign(host.containers.get(id) ?? {}, { running: false, exitCode: 137 });
      host.engineBack();
    }
    await until(() => expect(host.routes.size).toBe(1));
    expect(agent.states(id)).not.toContain("failed");
    await agent.stop();
  });

  test("is not given up on because its one crash could not be written down for a while", async () => {
    const { host, agent, id } = await withTenant();
    await until(() => expect(agent.states(id)).toEqual(["creating", "running"]));
    const { note } = agent.journal.tenants;
    let refusals = 10;
    agent.journal.tenants.note = (words) => {
      if (refusals-- > 0) throw new Error("database or disk is full");
      return note(words);
    };
    host.crash(id);
    await until(() => expect(agent.states(id)).toEqual(["creating", "running", "creating", "running"]));
    await agent.stop();
  });

  test("is given up on when it dies again and again, until its owner speaks", async () => {
    const { host, start } = await setUp();
    host.onStart = () => "dies";
    const agent = await start();
    const id = newId("tnt");
    await agent.command(applyCommand(id));
    await until(() => expect(agent.states(id)).toEqual(["creating", "failed"]));
    const { starts } = host.containers.get(id) ?? {};
    expect(starts).toBe(5);
    await agent.supervisor.sweep();
    expect(host.containers.get(id)).toMatchObject({ starts: 5, running: false });
    host.onStart = () => "ready";
    await agent.command(applyCommand(id, { generation: 2, restarts: 1 }));
    await until(() => expect(agent.states(id).at(-1)).toBe("running"));
    await agent.stop();
  });
});

describe("the start of the agent", () => {
  test("adopts what runs without touching it, and routes it", async () => {
    const { host, start } = await setUp();
    const first = await start();
    const ids = [newId("tnt"), newId("tnt")];
    for (const id of ids) await first.command(applyCommand(id));
    await until(() => expect(host.routes.size).toBe(2));
    const said = first.reports().length;
    await first.stop();
    expect(host.routes.size).toBe(0);
    const calls: string[] = [];
    // Routed before anything else is looked at: this look never ends.
    host.onStart = () => "hangs";
    const second = await start({ before: (call) => calls.push(call) });
    await until(() => expect(host.routes.size).toBe(2));
    await until(() => expect(calls.filter((call) => call === "runtimes.untilReady")).toHaveLength(2));
    expect(calls).not.toContain("containers.stop");
    expect(calls.indexOf("firewall.apply")).toBe(0);
    for (const id of ids) expect(host.containers.get(id)?.starts).toBe(1);
    expect(second.reports()).toHaveLength(said);
    await second.stop();
  });

  test("starts an agent again whose volume was opened anew under it, as gracefully as any restart", async () => {
    const { edge, host, start } = await setUp();
    const first = await start();
    const id = newId("tnt");
    const secretsJwe = await edge.seal(id, 1, { ANTHROPIC_API_KEY: "sk-test" });
    await first.command(applyCommand(id, { secretsJwe }));
    await until(() => expect(host.routes.size).toBe(1));
    await first.stop();
    // The process that served the mount has died; the container goes on, and every file of its data answers an error.
    Object.assign(host.volumes.get(id) ?? {}, { open: false });
    const second = await start();
    await until(() => expect(host.containers.get(id)).toMatchObject({ running: true, starts: 2, instance: 2 }));
    await until(() => expect(host.routes.size).toBe(1));
    expect(host.violations).toEqual([]);
    await second.stop();
  });

  test("starts again what a reboot ended", async () => {
    const { host, start } = await setUp();
    const first = await start();
    const id = newId("tnt");
    await first.command(applyCommand(id));
    await until(() => expect(host.routes.size).toBe(1));
    await first.stop();
    host.crash(id, 137);
    host.envs.clear();
    const second = await start();
    await until(() => expect(host.routes.size).toBe(1));
    expect(host.containers.get(id)).toMatchObject({ running: true, starts: 2 });
    await second.stop();
  });

  test("removes a container that the journal does not know, and says so", async () => {
    const { host, start } = await setUp();
    const id = newId("tnt");
    const facts = { tenantId: id, containerId: "x", running: true, exitCode: null, oomKilled: false, startedAt: "" };
    host.containers.set(id, { ...facts, planHash: "", restarts: 0, network: "chl0", starts: 1, instance: 0 });
    const agent = await start();
    expect(host.containers.size).toBe(0);
    expect(agent.reports()).toContainEqual(expect.objectContaining({ tenantId: id, step: "remove_container" }));
    host.containers.set(id, { ...facts, planHash: "", restarts: 0, network: "chl0", starts: 1, instance: 0 });
    await agent.supervisor.sweep();
    expect(host.containers.size).toBe(1);
    await agent.supervisor.sweep();
    expect(host.containers.size).toBe(0);
    await agent.stop();
  });
});

/** What an owner may ask, and what must be true of host and journal when the dust has settled. */
const stories = {
  create: { words: [{}], ends: "running", left: { containers: 1, networks: 1, volumes: 1, configs: 1, routes: 1 } },
  restart: {
    words: [{}, { generation: 2, restarts: 1 }],
    ends: "running",
    left: { containers: 1, networks: 1, volumes: 1, configs: 1, routes: 1 },
  },
  stop: {
    words: [{}, { generation: 2, desired: "stopped" as const }],
    ends: "stopped",
    left: { networks: 1, volumes: 1, configs: 1 },
  },
  suspend: {
    words: [{}, { generation: 2, desired: "suspended" as const }],
    ends: "suspended",
    left: { containers: 1, networks: 1, volumes: 1, configs: 1 },
  },
  wake: {
    words: [{}, { generation: 2, desired: "suspended" as const }, { generation: 3 }],
    ends: "running",
    left: { containers: 1, networks: 1, volumes: 1, configs: 1, routes: 1 },
  },
  purge: { words: [{}, "purge" as const], ends: "purged", left: {} },
};

describe("an agent killed at any call to the host converges after its restart", () => {
  test.each(Object.entries(stories))("%s", { timeout: 120_000 }, async (_, { words, ends, left }) => {
    const kills = await killEverywhere(words, ends, { ...nothingLeft, ...left });
    expect(kills).toBeGreaterThan(20);
  });
});

type Word = "purge" | Partial<TenantApply>;

/** Plays the story once for each call that the agent makes, and kills it there: before the call, and after it. */
async function killEverywhere(words: readonly Word[], ends: string, left: object): Promise<number> {
  for (let kills = 0; ; kills++) {
    const killed = await killAt(kills, words, ends, left);
    if (!killed) return kills;
  }
}

async function killAt(moment: number, words: readonly Word[], ends: string, left: object): Promise<boolean> {
  const { edge, host, path } = await setUp();
  const id = newId("tnt");
  const commandOf = (word: Word) =>
    word === "purge" ? ({ type: "tenant.purge", tenantId: id, generation: 2 } as const) : applyCommand(id, word);
  let moments = 0;
  let dead = false;
  const maybeDie = () => {
    if (!dead && moments++ === moment) {
      dead = true;
      agent.die();
    }
    if (dead) throw new KillError();
  };
  let agent = await startTestAgent({ path, edge, host, before: maybeDie, after: maybeDie });
  const settled = async (state: string, generation: number) =>
    until(() => {
      if (dead) return;
      expect(agent.journal.tenants.get(id)).toMatchObject({ state, stateGeneration: generation });
    });

  void agent.supervisor.start().catch(() => {});
  for (const [index, word] of words.entries()) {
    const isLast = index === words.length - 1;
    const reached = isLast ? ends : REACHED[(word as Partial<TenantApply>).desired ?? "running"];
    if (!dead) await agent.command(commandOf(word));
    await settled(reached, index + 1);
    if (!dead) continue;
    await agent.supervisor.stop();
    dead = false;
    moments = Number.NEGATIVE_INFINITY;
    agent = await startTestAgent({ path, edge, host });
    await agent.supervisor.start();
    // At least once: the edge cannot know whether the word arrived.
    await agent.command(commandOf(word));
    await settled(reached, index + 1);
  }
  await until(() => expect(census(host)).toEqual(left));
  expect(host.violations).toEqual([]);
  expect(agent.journal.tenants.get(id)?.uid).toBe(200_000);
  await agent.stop();
  return moments < 0;
}
