import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type ServerResponse } from "node:http";
import { afterEach, describe, expect, it, vi } from "vitest";
import { EngineAwayError } from "../tenants/ports.ts";
import { connectDocker } from "./docker.ts";

const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** An engine that can hang: it takes whatever comes, and answers when it is told to. A real one is in test/system. */
async function engine(patience: { quietMs: number; patienceMs: number }) {
  const dir = await mkdtemp("/tmp/chl-pulse-");
  const it = {
    answers: "all" as "all" | "pings" | "nothing",
    pings: 0,
    asked: [] as string[],
    waiting: [] as ServerResponse[],
  };
  const server = createServer((request, response) => {
    const path = request.url ?? "";
    const isPing = path === "/_ping";
    if (isPing) it.pings += 1;
    else it.asked.push(path);
    if (it.answers === "nothing" || (it.answers === "pings" && !isPing)) it.waiting.push(response);
    else if (path.includes("/events")) response.write('{"Action":"die"}\n');
    else response.end("{}");
  }).listen(`${dir}/sock`);
  await once(server, "listening");
  const docker = connectDocker({ socketPath: `${dir}/sock`, patience });
  cleanups.push(async () => {
    docker.close();
    server.closeAllConnections();
    server.close();
    await rm(dir, { recursive: true });
  });
  return { docker, it };
}
const until = (check: () => void) => vi.waitFor(check, { timeout: 10_000, interval: 5 });

describe("an engine that takes calls and answers none", () => {
  const impatient = { quietMs: 10, patienceMs: 50 };

  it("is away for every call that waits, and its event stream is over", async () => {
    const { docker, it } = await engine(impatient);
    const onEvent = vi.fn();
    const { signal } = new AbortController();
    const stream = docker.events({}, { signal, onOpen: () => {} }, onEvent);
    stream.catch(() => {});
    await until(() => expect(onEvent).toHaveBeenCalled());
    it.answers = "nothing";
    // More than there are connections: the last ones have not even been sent.
    const calls = Array.from({ length: 20 }, () => docker.inspectContainer("one"));
    const reasons = (await Promise.allSettled(calls)).map((end) => end.status === "rejected" && end.reason);
    expect(reasons.every((reason) => reason instanceof EngineAwayError)).toBe(true);
    await expect(stream).rejects.toThrow();
  });

  it("is asked for nothing before it gives a sign of life, and for everything then", async () => {
    const { docker, it } = await engine(impatient);
    it.answers = "nothing";
    await expect(docker.startContainer("one")).rejects.toThrow(EngineAwayError);
    const before = { asked: it.asked.length, pings: it.pings };
    const calls = Array.from({ length: 10 }, () => docker.startContainer("two"));
    expect((await Promise.allSettled(calls)).map(({ status }) => status)).not.toContain("fulfilled");
    expect(it.asked).toHaveLength(before.asked);
    expect(it.pings - before.pings).toBeLessThanOrEqual(1);
    it.answers = "all";
    await until(() => docker.startContainer("three").then(() => {}));
    expect(it.asked.at(-1)).toContain("/containers/three/start");
  });
});

it("waits for an engine that works for long, as long as it gives signs of life", async () => {
  const { docker, it } = await engine({ quietMs: 5, patienceMs: 30_000 });
  await docker.version();
  it.answers = "pings";
  const long = docker.info();
  await until(() => expect(it.pings).toBeGreaterThan(3));
  for (const response of it.waiting) response.end('{"CgroupVersion":"2"}');
  expect(await long).toEqual({ CgroupVersion: "2" });
});
