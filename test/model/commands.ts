import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { newId } from "../../schema/protocol/index.ts";
import { CRASHED, type ModelWorld, WIRE_FAULTS } from "./world.ts";

/** What owners were promised, and nothing else: by agent, the newest generation that the edge has acknowledged. */
export interface Promises {
  agents: { id: string; desired: string; generation: number; crashes: number }[];
}

type Step = fc.AsyncCommand<Promises, ModelWorld>;
const MAX_AGENTS = 4;
const MAX_CRASHES = 2;
/** The host has eight places, and a purged agent's is free only when it is gone. */
const MAX_CREATED = 7;

function step(name: string, run: (model: Promises, world: ModelWorld) => Promise<void>): Step {
  return { check: () => true, run, toString: () => name };
}

const pick = <T>(list: readonly T[], index: number): T | undefined => list[index % Math.max(1, list.length)];

const create = () =>
  step("create", async (model, world) => {
    if (model.agents.length >= MAX_CREATED) return;
    if (model.agents.filter(({ desired }) => desired !== "deleted").length >= MAX_AGENTS) return;
    const name = `m${newId("tnt").slice(4, 20)}`;
    const made = await world.service().create(world.person, { name, runtime: "echo" }, world.later);
    if (!made.ok) throw new Error(`refused: ${made.problem.code}`);
    const { id, desired, generation } = made.value;
    model.agents.push({ id, desired, generation, crashes: 0 });
  });

const act = (action: "start" | "stop" | "restart" | "delete", index: number, isLost = false) =>
  step(`${action} ${index}${isLost ? ", lost" : ""}`, async (model, world) => {
    const agent = pick(model.agents, index);
    if (!agent) return;
    if (isLost) world.failNext("lost");
    const wasDeleted = agent.desired === "deleted";
    const done = await world.service().act(world.person, agent.id, action, world.later);
    if (!done.ok && wasDeleted) return;
    if (!done.ok) throw new Error(`${action} refused: ${done.problem.code}`);
    if (action === "delete") agent.desired = "deleted";
    else agent.desired = action === "stop" ? "stopped" : "running";
    agent.generation = done.value.generation;
  });

/** Two words in one breath, and the older one arrives last. */
const overtaken = (first: "start" | "stop" | "restart", second: "start" | "stop", index: number) =>
  step(`${first} ${index}, overtaken by ${second}`, async (model, world) => {
    await act(first, index, true).run(model, world);
    await act(second, index).run(model, world);
    await world.delivered();
    await world.straysArrive();
  });

const putSecret = (index: number) =>
  step(`secret ${index}`, async (model, world) => {
    const agent = pick(model.agents, index);
    if (!agent || agent.desired === "deleted") return;
    const value = "sk-ant-model-00000000000000000000";
    const put = await world.service().putSecret(world.person, agent.id, "ANTHROPIC_API_KEY", value, world.later);
    if (!put.ok) throw new Error(`secret refused: ${put.problem.code}`);
    const row = (await world.rows()).find(({ id }) => id === agent.id);
    agent.generation = row?.generation ?? agent.generation;
  });

const crash = (index: number) =>
  step(`crash ${index}`, async (model, world) => {
    const agent = pick(model.agents, index);
    // More, and the host would rightly give up on it.
    if (!agent || agent.crashes >= MAX_CRASHES) return;
    agent.crashes += 1;
    world.machine.crash(agent.id, CRASHED);
  });

export const steps = (): fc.Arbitrary<Step>[] => {
  const index = fc.nat({ max: MAX_AGENTS });
  const wish = fc.tuple(fc.constantFrom("start", "stop", "stop", "restart", "start", "delete"), index);
  return [
    fc.constant(create()),
    fc.constant(create()),
    wish.map(([action, at]) => act(action, at)),
    wish.map(([action, at]) => act(action, at)),
    wish.map(([action, at]) => act(action, at, true)),
    fc
      .tuple(fc.constantFrom("start", "stop", "restart"), fc.constantFrom("start", "stop"), index)
      .map(([first, second, at]) => overtaken(first, second, at)),
    index.map(putSecret),
    index.map(crash),
    fc.constantFrom(...WIRE_FAULTS).map((fault) => step(`next delivery ${fault}`, async (_, w) => w.failNext(fault))),
    fc
      .integer({ min: 1, max: 40 })
      .map((calls) => step(`kill -9 at call ${calls}`, async (_, w) => w.killAfter(calls))),
    fc.constant(step("what was lost arrives", (_, w) => w.straysArrive())),
    fc.constant(step("agent back", (_, w) => w.startAgent())),
    fc.constant(step("edge restarted", async (_, w) => w.restartEdge())),
    fc
      .constantFrom(-600_000, 0, 600_000)
      .map((ms) => step(`host clock ${ms / 60_000} min`, async (_, w) => w.hostClock(ms))),
    fc.constant(step("cron", (_, w) => w.tick())),
    fc.constant(step("host's round", (_, w) => w.round())),
    fc.nat({ max: 12 }).map((ms) => step(`${ms} ms pass`, async () => void (await sleep(ms)))),
  ];
};
