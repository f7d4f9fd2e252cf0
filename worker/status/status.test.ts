import { beforeAll, describe, expect, it } from "vitest";
import { hosts, statusDays, statusIncidents } from "../../schema/db/index.ts";
import { Client, startTestEdge, type TestEdge } from "../testing/edge.ts";
import { TestHost } from "../testing/host.ts";
import type { StatusView } from "./types.ts";

let edge: TestEdge;
let host: TestHost;
let queries = 0;
let databaseAway = false;

beforeAll(async () => {
  host = await TestHost.make();
  edge = await startTestEdge({
    fetch: host.fetch as typeof fetch,
    onStatement: () => {
      queries += 1;
      if (databaseAway) throw new Error("the database is away");
    },
  });
  await host.enrol(edge);
});

const read = async () => (await edge.send("/status.json")).json<StatusView>();
const minutes = async (count: number) => {
  for (let done = 0; done < count; done++) {
    edge.world.forward(60_000);
    await edge.tick();
  }
};
const speak = () => edge.db.update(hosts).set({ lastReportAt: edge.world.now() });
const part = (view: StatusView, id: string) => view.components.find((it) => it.id === id);

describe("the public status", () => {
  it("is well when everything is, and counts minutes", async () => {
    for (let minute = 0; minute < 3; minute++) {
      await speak();
      await minutes(1);
    }
    const view = await read();
    expect(view.level).toBe("good");
    expect(view.components.map(({ id, level }) => [id, level])).toEqual([
      ["edge", "good"],
      ["database", "good"],
      ["region:test", "good"],
    ]);
    expect(part(view, "edge")).toMatchObject({ uptimePercent: 100 });
    expect(part(view, "edge")?.days).toHaveLength(90);
    expect(part(view, "edge")?.days.at(-1)).toMatchObject({ level: "good" });
    // The clock may tick more often: no minute counts twice.
    const before = await edge.db.select().from(statusDays);
    await edge.tick();
    expect(await edge.db.select().from(statusDays)).toEqual(before);
  });

  it("notes a region whose hosts are silent, and that it is over", async () => {
    await minutes(4);
    edge.world.forward(31_000);
    const during = await read();
    expect([during.level, part(during, "region:test")?.level]).toEqual(["bad", "bad"]);
    expect(during.incidents).toMatchObject([{ component: "Agents in test", level: "bad", endedAt: null }]);
    await speak();
    await minutes(1);
    edge.world.forward(31_000);
    const after = await read();
    expect(after.level).toBe("good");
    expect(after.incidents[0]?.endedAt).not.toBeNull();
    expect(part(after, "region:test")?.uptimePercent).toBeLessThan(100);
  });

  it("counts the time in which nobody watched as away", async () => {
    edge.world.forward(30 * 60_000);
    await speak();
    await edge.tick();
    const found = await edge.db.select().from(statusIncidents);
    expect(found.at(-1)).toMatchObject({ component: "edge", level: "bad" });
    expect((found.at(-1)?.endedAt ?? 0) - (found.at(-1)?.startedAt ?? 0)).toBeGreaterThanOrEqual(29 * 60_000);
  });

  it("tells nobody which hosts there are, how many, or whose agents", async () => {
    const owner = await new Client(edge).signUp();
    const { name, id } = (await owner.create()).body;
    edge.world.forward(31_000);
    for (const path of ["/status", "/status.json"]) {
      const text = await (await edge.send(path, { headers: { accept: "text/html" } })).text();
      const secret = [host.name, host.endpoint, host.enrolment.hostId, name, id, owner.email, "versions", "attack"];
      for (const word of secret) expect(text).not.toContain(word);
    }
  });

  it("is the same for everybody, may be cached, and costs the database one read for all who ask", async () => {
    edge.world.forward(31_000);
    const owner = await new Client(edge).signUp();
    const first = await edge.send("/status");
    expect(first.headers.get("cache-control")).toContain("public");
    expect(await (await owner.request("GET", "/status")).text()).toBe(await first.text());
    queries = 0;
    for (let asked = 0; asked < 20; asked++) expect((await edge.send("/status.json")).status).toBe(200);
    expect(queries).toBe(0);
  });

  it("says that the database is down when it is, instead of being down itself", async () => {
    edge.world.forward(31_000);
    databaseAway = true;
    const page = await edge.send("/status", { headers: { accept: "text/html" } });
    databaseAway = false;
    expect(page.status).toBe(200);
    const view = await read();
    expect([view.level, part(view, "database")?.level, part(view, "edge")?.level]).toEqual(["bad", "bad", "good"]);
    expect(view.components.map(({ id }) => id)).toEqual(["edge", "database"]);
  });

  it("does not claim to know how things are when nobody has looked for a while", async () => {
    edge.world.forward(20 * 60_000);
    expect(part(await read(), "region:test")?.level).toBeNull();
  });
});
