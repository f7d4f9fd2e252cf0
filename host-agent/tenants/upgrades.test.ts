import { join } from "node:path";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { newId } from "../../schema/protocol/index.ts";
import { applyCommand, createTestEdge, startTestAgent, testDirectory } from "../testing.ts";
import { createModelHost } from "./model-host.ts";
import { EngineAwayError } from "./ports.ts";

const until = (check: () => void) => vi.waitFor(check, { timeout: 20_000, interval: 5 });
const image = (digit: string) => `registry.example/agent@sha256:${digit.repeat(64)}`;
const [GOOD, BAD, OTHER] = [image("a"), image("b"), image("c")];

async function setUp() {
  const edge = await createTestEdge();
  const path = join(testDirectory(onTestFinished), "journal.db");
  const host = createModelHost();
  host.onStart = (_, image) => (image === BAD ? "dies" : "ready");
  const engine = { isAway: (_call: string) => false };
  const before = (call: string) => {
    if (engine.isAway(call)) throw new EngineAwayError("nobody answers");
  };
  const start = async (onCommit?: () => void) => {
    const agent = await startTestAgent({ path, edge, host, before, onCommit });
    await agent.supervisor.start();
    return agent;
  };
  let onCommit = () => {};
  const agent = await start(() => onCommit());
  const id = newId("tnt");
  const tell = (generation: number, image: string, on = agent) => {
    const command = applyCommand(id, { generation, restarts: generation });
    return on.command({ ...command, tenant: { ...command.tenant, runtime: "custom", image } });
  };
  const heard = (on = agent) =>
    on.reports().flatMap((one) => (one.type === "tenant.image" ? [[one.generation, one.image, one.refused]] : []));
  const planned = () => host.containers.get(id)?.planHash ?? "";
  await tell(1, GOOD);
  await until(() => expect(heard()).toEqual([[1, GOOD, null]]));
  /** The process ends right after its n-th commit from now; it takes no note of what it did after it. */
  const killAfter = (commits: number) => {
    let left = commits;
    onCommit = () => {
      if (--left === 0) setDead();
    };
  };
  const setDead = () => {
    onCommit = () => {};
    engine.isAway = () => true;
    agent.die();
  };
  return { killAfter, host, engine, agent, id, tell, heard, planned, start };
}

describe("another image", () => {
  test("that becomes ready is told, and the data was kept as it was before", async () => {
    const { host, agent, id, tell, heard } = await setUp();
    await tell(2, OTHER);
    await until(() => expect(heard().at(-1)).toEqual([2, OTHER, null]));
    expect([host.snapshots, host.restored]).toEqual([[id], []]);
    await agent.stop();
  });

  test("that does not become ready gives way to the one before, with its data as it was", async () => {
    const { host, agent, id, tell, heard, planned } = await setUp();
    await tell(2, BAD);
    await until(() => expect(agent.states(id).at(-1)).toBe("running"));
    await until(() => expect(heard().at(-1)).toEqual([2, GOOD, BAD]));
    await until(() => expect(host.containers.get(id)?.running).toBe(true));
    expect(planned()).toContain(GOOD);
    expect([host.snapshots, host.restored, host.violations]).toEqual([[id], [id], []]);
    await agent.stop();
  });

  test("stays refused after a restart of the host agent, and is tried again when it is told again", async () => {
    const { host, agent, id, tell, heard, planned, start } = await setUp();
    await tell(2, BAD);
    await until(() => expect(heard().at(-1)).toEqual([2, GOOD, BAD]));
    await until(() => expect(host.containers.get(id)?.running).toBe(true));
    const starts = host.containers.get(id)?.starts;
    agent.die();
    const again = await start();
    await until(() => expect(host.routes.size).toBe(1));
    expect([planned().includes(GOOD), host.containers.get(id)?.starts]).toEqual([true, starts]);
    host.onStart = () => "ready";
    await tell(3, BAD, again);
    await until(() => expect(heard(again).at(-1)).toEqual([3, BAD, null]));
    await again.stop();
  });

  test("is not refused for an engine that dies in the middle of its trial", async () => {
    const { engine, agent, id, tell, heard } = await setUp();
    let deaths = 5;
    engine.isAway = (call) => call === "containers.start" && deaths-- > 0;
    await tell(2, OTHER);
    await until(() => expect(heard().at(-1)).toEqual([2, OTHER, null]));
    expect(agent.states(id)).not.toContain("failed");
    await agent.stop();
  });

  test.each([OTHER, BAD])(
    "is told, ready or refused, wherever the host agent is killed: %s",
    { timeout: 120_000 },
    async (image) => {
      for (let commits = 1; ; commits++) {
        const { killAfter, engine, agent, id, tell, heard, start } = await setUp();
        killAfter(commits);
        await tell(2, image).catch(() => {});
        const isDead = () => engine.isAway("");
        const outcome = image === BAD ? [2, GOOD, BAD] : [2, OTHER, null];
        await until(() => expect(isDead() || agent.states(id).length >= 4).toBe(true));
        if (!isDead()) {
          expect(heard()).toContainEqual(outcome);
          await agent.stop();
          expect(commits).toBeGreaterThan(10);
          return;
        }
        await agent.supervisor.stop();
        engine.isAway = () => false;
        const again = await start();
        await tell(2, image, again);
        await until(() => expect(heard(again)).toContainEqual(outcome));
        await again.stop();
      }
    },
  );

  test("of an agent that was never ready is not rolled back: there is nothing to go back to", async () => {
    const { agent, host } = await setUp();
    const fresh = newId("tnt");
    const command = applyCommand(fresh);
    await agent.command({ ...command, tenant: { ...command.tenant, runtime: "custom", image: BAD } });
    await until(() => expect(agent.states(fresh).at(-1)).toBe("failed"));
    expect(host.restored).toEqual([]);
    await agent.stop();
  });
});
