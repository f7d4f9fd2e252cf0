import { describe, expect, it } from "vitest";
import { auditSearch, auditTimes, csvLine, findingsOf, hostFindings, words, worstOf } from "./rules.ts";
import type { HostView, Overview } from "./types.ts";

const AT = "2026-11-22T12:00:00.000Z";
const NOW = Date.parse(AT);
const ago = (ms: number) => new Date(NOW - ms).toISOString();

const host = (change: Partial<HostView> = {}): HostView => ({
  ...{ id: "hst_1", name: "eu-1", region: "eu", state: "enrolled", endpoint: "https://eu-1.example", epoch: 1 },
  ...{ lastReportAt: ago(20_000), silent: false, versions: {}, images: [], drift: {} },
  agents: { used: 1, of: 10 },
  memoryMiB: { used: 2048, of: 32_768 },
  diskMiB: { used: 4096, of: 65_536 },
  posture: { at: ago(3_600_000), held: 107, breached: 0, unproven: 0, open: [], gates: [] },
  ...change,
});
const seen = (change: Partial<Overview> = {}): Omit<Overview, "findings"> => ({
  ...{ at: AT, hosts: [host()], agents: { running: 1 }, failed: [], mailWaiting: 0, alerts: [] },
  outbox: { depth: 0, oldestAt: null, stuck: [] },
  revenue: {
    ...{ payments: "stripe", usdPerMonth: 0, plans: [], trials: 0, owing: 0, leaving: 0, ended: 0, people: 1 },
  },
  ...change,
});

describe("what is wrong at a glance", () => {
  it("is nothing where all is well", () => {
    expect(findingsOf(seen())).toEqual([]);
    expect(worstOf(hostFindings(host(), NOW))).toBe("good");
  });

  const posture = host().posture as NonNullable<HostView["posture"]>;
  it.each<[string, Partial<HostView>, "poor" | "bad"]>([
    ["a silent host", { silent: true }, "bad"],
    ["an attack that got through", { posture: { ...posture, breached: 1 } }, "bad"],
    ["an attack that could not be tried", { posture: { ...posture, unproven: 1 } }, "poor"],
    ["walls that nobody has tried", { posture: null }, "poor"],
    ["walls that were tried long ago", { posture: { ...posture, at: ago(49 * 3_600_000) } }, "poor"],
    [
      "an old Docker",
      { posture: { ...posture, gates: [{ name: "docker", have: "20", need: "29", ok: false }] } },
      "poor",
    ],
    ["a wall that was found changed", { drift: { firewall: 2 } }, "poor"],
    ["a host that is nearly full", { memoryMiB: { used: 95, of: 100 } }, "poor"],
    ["a host without any room at all", { agents: { used: 0, of: 0 } }, "poor"],
    ["a draining host", { state: "draining" }, "poor"],
  ])("names %s", (_what, change, tone) => {
    const found = findingsOf(seen({ hosts: [host(change)] }));
    expect(found).toMatchObject([{ tone, about: "hosts" }]);
    expect(found[0]?.sentence).toMatch(/^eu-1 .+\.$/);
  });

  it("names failed agents, late commands, alerts and owing accounts, the worst first", () => {
    const failed = [{ id: "t", name: "n", owner: null, host: "h", wanted: "running", failure: null, since: AT }];
    const alert = { kind: "left_behind", subject: "t", detail: "d", times: 1, firstAt: AT, lastAt: AT };
    const found = findingsOf(
      seen({
        failed,
        outbox: { depth: 3, oldestAt: ago(11 * 60_000), stuck: [] },
        alerts: [alert, { ...alert, kind: "stranger" }],
        revenue: { ...seen().revenue, owing: 2 },
      }),
    );
    expect(found.map(({ tone, about }) => `${tone} ${about}`)).toEqual([
      "bad failed",
      "bad alerts",
      "poor outbox",
      "poor alerts",
      "poor billing",
    ]);
  });

  it("does not call late what is only on its way", () => {
    expect(findingsOf(seen({ outbox: { depth: 9, oldestAt: ago(60_000), stuck: [] } }))).toEqual([]);
  });

  it("says an alert that it has no words for rather than keeping it", () => {
    const unknown = { kind: "moon", subject: "t", detail: "d", times: 1, firstAt: AT, lastAt: AT };
    expect(findingsOf(seen({ alerts: [unknown] }))).toMatchObject([{ tone: "bad", sentence: "moon." }]);
  });
});

describe("the audit's search", () => {
  it("leaves out what cannot be searched for, and takes days as whole days in UTC", () => {
    expect(auditSearch.parse({ who: 7, since: "yesterday", until: "2026-02-30" })).toEqual({
      ...{ who: "", what: "", about: "", since: undefined, until: undefined },
    });
    const one = auditSearch.parse({ since: "2026-11-22", until: "2026-11-22" });
    expect(auditTimes(one)).toEqual({ from: Date.UTC(2026, 10, 22), before: Date.UTC(2026, 10, 23) });
  });

  it.each(["=cmd()", "+1", "-1", "@sum", "\tx", "\rx"])("makes no formula of %j in a spreadsheet", (text) => {
    expect(csvLine([text])).toBe(`"'${text}"\r\n`);
  });

  it("quotes every field, so that no value can end its own", () => {
    expect(csvLine([1, 'a "b", c\n', null])).toBe('"1","a ""b"", c\n",""\r\n');
  });
});

it("says spans of time in their largest unit", () => {
  expect([0, 60_000, 7_200_000, 172_800_000].map(words)).toEqual([
    ...["less than a minute", "1 minute", "2 hours", "2 days"],
  ]);
});
