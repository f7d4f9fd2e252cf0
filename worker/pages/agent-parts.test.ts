import { beforeEach, describe, expect, it } from "vitest";
import type { CellFacts } from "../../schema/protocol/index.ts";
import { cellRows } from "./cell-rules.ts";
import { agentView, PERSON } from "./in-memory.ts";
import { barsPath, curveOf } from "./spark-rules.ts";
import { ID, type Visit, visit } from "./visiting.ts";

let ada: Visit;
beforeEach(() => {
  ada = visit();
  ada.own();
});
const text = async (path: string) => (await ada.get(path)).text();
const PARTS = ["security", "data", "walls", "setup"];

it.each(PARTS)("%s of somebody else's agent is not there at all", async (part) => {
  ada.world.agents.set(ID, { ...agentView(), ownerId: "usr_2" });
  const answer = await ada.get(`/agents/${ID}/${part}`);
  expect(answer.status).toBe(404);
  expect(await answer.text()).not.toContain("ada-helper");
});

it.each(PARTS)("%s brings whoever is not signed in back to it afterwards", async (part) => {
  const answer = await ada.get(`/agents/${ID}/${part}`, {});
  expect(answer.headers.get("location")).toBe(`/sign-in?next=${encodeURIComponent(`/agents/${ID}/${part}`)}`);
});

describe("what the kernel says of a cell", () => {
  const SOUND: CellFacts = {
    ...{ uid: 100_004, capabilities: 0, noNewPrivileges: true, seccomp: "filter", readOnlyRoot: true },
    ...{ writable: ["/data", "/tmp", "/dev/shm"], namespaces: ["net", "mnt", "pid", "ipc", "uts", "cgroup"] },
  };
  const failing = (change: Partial<CellFacts>) =>
    cellRows({ ...SOUND, ...change }).flatMap(({ name, holds }) => (holds ? [] : [name]));

  it.each<[string[], Partial<CellFacts>]>([
    [[], {}],
    [["User"], { uid: 0 }],
    [["User"], { uid: 1000 }],
    [["Capabilities"], { capabilities: 14 }],
    [["New privileges"], { noNewPrivileges: false }],
    [["System calls"], { seccomp: "off" }],
    [["Its system"], { readOnlyRoot: false }],
    [["It may write to"], { writable: ["/data", "/etc"] }],
    [["Shared with the server"], { namespaces: ["mnt", "pid", "ipc", "uts", "cgroup"] }],
  ])("does not pass %j for sound when it is %j", (names, change) => {
    expect(failing(change)).toEqual(names);
  });

  it("is told as not known before its server has looked", async () => {
    expect(await text(`/agents/${ID}/security`)).toContain("Its server tells this about an agent that runs");
  });
});

it("the ledger says that it is broken, and where", async () => {
  ada.world.ledgers.set(ID, { commands: [], intact: false, brokenAt: 7 });
  expect(await text(`/agents/${ID}/security`)).toContain("Broken at number 7");
});

describe("the data of an agent", () => {
  const snapshot = "20261122T044501Z";
  beforeEach(() => {
    ada.world.storages.set(ID, {
      ...{ usedBytes: 2 ** 20, limitBytes: 2 ** 30, warning: null, strays: 0, snapshots: [snapshot], backup: null },
      ...{ restored: null, at: "2026-11-22T09:00:00Z", move: null, moveDownMs: null },
    });
  });

  it("can be had back from a snapshot that is there, and from no other", async () => {
    expect(await text(`/agents/${ID}/data`)).toContain("22 Nov, 04:45:01 UTC");
    const back = await ada.post(`/agents/${ID}/data/restore`, { from: snapshot });
    expect(back.headers.get("location")).toBe(`/agents/${ID}/data?asked=restore`);
    const refused = await ada.post(`/agents/${ID}/data/restore`, { from: "20200101T000000Z" });
    expect(refused.status).toBe(409);
    expect(await refused.text()).toContain("There is no such snapshot or copy");
    expect(ada.world.acted).toEqual([{ id: ID, action: `restore ${snapshot}` }]);
  });

  it("is copied when its owner asks for it, and is nobody else's to copy", async () => {
    expect((await ada.post(`/agents/${ID}/data/backup`, {})).status).toBe(303);
    ada.world.agents.set(ID, { ...agentView(), ownerId: "usr_2" });
    expect((await ada.post(`/agents/${ID}/data/backup`, {})).status).toBe(404);
    expect((await ada.post(`/agents/${ID}/data/restore`, { from: snapshot })).status).toBe(404);
    expect(ada.world.acted).toHaveLength(1);
  });
});

it("the receipts of what is gone stand below what is there, each for its own owner only", async () => {
  const receipt = { id: "r", tenantId: "t", receipt: "a.b.c", url: "/receipts/r", at: "2026-11-22T09:00:00Z" };
  ada.world.receipts.push({ ...receipt, name: "mine", ownerId: PERSON.id });
  ada.world.receipts.push({ ...receipt, name: "theirs", ownerId: "usr_2" });
  const html = await text("/agents");
  expect(html).toContain("Receipt for mine");
  expect(html).not.toContain("theirs");
});

describe("curves", () => {
  const NOW = Date.parse("2026-11-22T12:00:00Z");
  const sample = (minutesAgo: number, requests: number | null, memoryMiB = 1) => ({
    ...{ at: new Date(NOW - minutesAgo * 60_000).toISOString(), memoryMiB, cpuPercent: 0, diskMiB: null, requests },
  });

  it("add up what is counted and take the peak of what is measured, part by part", () => {
    const samples = [sample(30, 3, 10), sample(12, 4, 20), sample(11, 5, 15)];
    const counted = curveOf(samples, NOW, ({ requests }) => requests, "sum");
    expect(counted.parts.slice(-2)).toEqual([3, 9]);
    expect(counted.sum).toBe(12);
    const measured = curveOf(samples, NOW, ({ memoryMiB }) => memoryMiB, "peak");
    expect(measured.parts.slice(-2)).toEqual([10, 20]);
    expect(measured.range).toEqual({ least: 10, most: 20 });
  });

  it("leave out what is older than a day, in the future, or not known", () => {
    const samples = [sample(1500, 1), sample(-5, 1), sample(5, null)];
    const { parts, range } = curveOf(samples, NOW, ({ requests }) => requests, "sum");
    expect([parts.every((part) => part === null), range]).toEqual([true, null]);
  });

  it("draw nothing where nobody looked, and something where there was little", () => {
    expect(barsPath([null, null], 10)).toBe("");
    expect(barsPath([1], 1_000_000)).toContain("v-1.5");
    expect(barsPath([5], 0)).not.toContain("NaN");
  });
});
