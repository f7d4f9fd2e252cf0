import { beforeAll, describe, expect, it } from "vitest";
import { Client, OPERATOR_TOKEN } from "../testing/edge.ts";
import { type Settled, startSettled } from "../testing/settled.ts";
import { type Candidate, nextRolloutStep } from "./upgrade-rules.ts";

const image = (digit: string) => `registry.example/agent@sha256:${digit.repeat(64)}`;
const [A, B, C] = [image("a"), image("b"), image("c")];
let { edge, host, owner } = {} as Settled;
beforeAll(async () => {
  ({ edge, host, owner } = await startSettled());
});

interface Body {
  id: string;
  code?: string;
  runs: { image: string | null; running: string | null; refused: string | null } | null;
  rollouts: { id: string; state: string; detail: string | null }[];
}
const create = (body: object) =>
  owner.json<Body>("POST", "/api/v1/tenants", { name: `a${crypto.randomUUID().slice(0, 8)}`, ...body });
const upgrade = (id: string, body: object) => owner.json<Body>("POST", `/api/v1/tenants/${id}/upgrade`, body);
const read = async (id: string) => (await owner.json<Body>("GET", `/api/v1/tenants/${id}`)).body;

async function operator(method: string, path: string, body?: object): Promise<{ status: number; body: Body }> {
  const answer = await edge.send(`/api/v1/operator/${path}`, {
    method,
    headers: { authorization: `Bearer ${OPERATOR_TOKEN}`, "content-type": "application/json" },
    ...(body && { body: JSON.stringify(body) }),
  });
  return { status: answer.status, body: answer.status === 204 ? ({} as Body) : ((await answer.json()) as Body) };
}
const allow = (...images: string[]) =>
  Promise.all(images.map((one) => operator("PUT", "images", { runtime: "custom", image: one })));
const told = (id: string) =>
  host.commands.flatMap((one) => (one.type === "tenant.apply" && one.tenant.id === id ? [one] : [])).at(-1);
async function says(tenantId: string, running: string | null, refused: string | null): Promise<void> {
  const generation = told(tenantId)?.generation ?? 0;
  const about = { type: "tenant.image", tenantId, generation, image: running, refused } as const;
  expect((await host.post(edge, await host.report(about))).status).toBe(200);
}

describe("an image of its own", () => {
  it("is refused where the operator has not allowed it, whatever it is called", async () => {
    for (const refused of [undefined, A, "registry.example/agent:latest", "agent", `${A}0`]) {
      const { status, body } = await create({ runtime: "custom", image: refused });
      expect([status, body.code]).toEqual([422, "image_not_allowed"]);
    }
    expect((await create({ runtime: "zeroclaw" })).body.code).toBe("image_not_allowed");
    expect((await create({ runtime: "echo", image: A })).body.code).toBe("image_not_allowed");
    expect(host.commands.filter(({ type }) => type === "tenant.apply")).toEqual([]);
  });

  it("can be allowed by the operator alone, and by digest alone", async () => {
    const path = "/api/v1/operator/images";
    expect((await owner.json("PUT", path, { runtime: "custom", image: A })).status).toBe(401);
    expect((await operator("PUT", "images", { runtime: "custom", image: "agent:latest" })).status).toBe(400);
  });

  it("reaches the host with the agent, and is forgotten by nobody who runs from it", async () => {
    await allow(A);
    const { body } = await create({ runtime: "custom", image: A });
    expect(told(body.id)?.tenant).toMatchObject({ runtime: "custom", image: A });
    await operator("DELETE", "images", { runtime: "custom", image: A });
    expect((await create({ runtime: "custom", image: A })).body.code).toBe("image_not_allowed");
    await owner.json("POST", `/api/v1/tenants/${body.id}/restart`);
    expect(told(body.id)?.tenant.image).toBe(A);
  });
});

describe("an upgrade", () => {
  it("is a new generation, and the owner sees what the host made of it", async () => {
    await allow(A, B);
    const { id } = (await create({ runtime: "custom", image: A })).body;
    const before = told(id);
    const { status, body } = await upgrade(id, { image: B });
    expect([status, body.runs?.image]).toEqual([202, B]);
    expect(told(id)).toMatchObject({ tenant: { image: B }, generation: (before?.generation ?? 0) + 1 });
    await says(id, A, B);
    expect((await read(id)).runs).toEqual({ image: B, running: A, refused: B });
    expect((await upgrade(id, { image: B })).body.runs?.refused).toBeNull();
    expect((await upgrade(id, { image: C })).body.code).toBe("image_not_allowed");
  });

  it("is nobody's but the owner's", async () => {
    const { id } = (await create({ runtime: "echo" })).body;
    const stranger = await new Client(edge).signUp();
    expect((await stranger.json("POST", `/api/v1/tenants/${id}/upgrade`, {})).status).toBe(404);
  });
});

const candidate = (tenantId: string, change: Partial<Candidate> = {}): Candidate => ({
  ...{ tenantId, desired: "running", image: A, running: A, refused: null },
  ...change,
});
const done = { image: B, running: B };

describe("a rollout", () => {
  it("goes on a few at a time, waits for those, and ends when all are there", () => {
    const [x, y, z] = ["x", "y", "z"] as const;
    const fresh = [candidate(x), candidate(y), candidate(z)];
    expect(nextRolloutStep(B, 2, fresh)).toEqual({ do: "begin", ids: [x, y] });
    const begun = [candidate(x, { image: B }), candidate(y, { image: B }), candidate(z)];
    expect(nextRolloutStep(B, 2, begun)).toEqual({ do: "wait" });
    expect(nextRolloutStep(B, 2, [candidate(x, done), candidate(y, { image: B }), candidate(z)])).toEqual({
      do: "begin",
      ids: [z],
    });
    expect(nextRolloutStep(B, 2, [candidate(x, done), candidate(y, done), candidate(z, done)])).toEqual({ do: "done" });
  });

  it("is not held up by who is stopped, and needs no word about what was never another", () => {
    const stopped = candidate("x", { image: B, desired: "stopped" });
    expect(nextRolloutStep(B, 1, [stopped, candidate("y")])).toEqual({ do: "begin", ids: ["y"] });
    expect(nextRolloutStep(null, 1, [candidate("x", { image: null, running: null })])).toEqual({ do: "done" });
  });

  it("stops at the first agent that it does not do good, and touches no further one", async () => {
    await allow(A, B);
    const mine: string[] = [];
    for (let n = 0; n < 3; n++) mine.push((await create({ runtime: "custom", image: A })).body.id);
    const begun = await operator("POST", "rollouts", { runtime: "custom", image: B, batch: 1 });
    expect(begun.status).toBe(202);
    const wanting = async () => (await Promise.all(mine.map(read))).filter(({ runs }) => runs?.image === B).length;
    const state = async () => (await operator("GET", "images")).body.rollouts.find(({ id }) => id === begun.body.id);
    // Whoever is left of the tests before comes first.
    for (let turn = 0; turn < 12 && (await wanting()) === 0; turn++) {
      await edge.tick();
      for (const command of host.commands) {
        if (command.type === "tenant.apply" && !mine.includes(command.tenant.id))
          await says(command.tenant.id, B, null);
      }
    }
    expect(await wanting()).toBe(1);
    await says(mine[0] as string, A, B);
    await edge.tick();
    await edge.tick();
    expect(await state()).toMatchObject({ state: "stopped", detail: `It did not become ready for ${mine[0]}.` });
    expect(await wanting()).toBe(1);
  });
});
