import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { countConnections } from "./connections.ts";
import { createMeter } from "./meter.ts";
import { nextRest, occupation, type Rest, wakeTime } from "./rules.ts";

const policy = { pauseAfterSeconds: 300, stopAfterSeconds: 3_600 };
const rest = (change: Partial<Rest>) =>
  nextRest({ policy, depth: null, idleMs: 0, wakeAtMs: null, nowMs: 1_000_000, ...change });

describe("when an agent is put to sleep", () => {
  it.each<[string, Partial<Rest>, ReturnType<typeof nextRest>]>([
    ["never, without a policy", { policy: undefined, idleMs: 1e12 }, { do: "wait", ms: undefined }],
    ["not while its time has not come", { idleMs: 299_000 }, { do: "wait", ms: 1_000 }],
    ["frozen first", { idleMs: 300_000 }, { do: "sleep", depth: "paused" }],
    ["ended later", { depth: "paused", idleMs: 3_600_000 }, { do: "sleep", depth: "stopped" }],
    [
      "at once, where an agent was idle for long when this one began",
      { idleMs: 1e9 },
      { do: "sleep", depth: "stopped" },
    ],
    ["and then left alone", { depth: "stopped", idleMs: 1e12 }, { do: "wait", ms: undefined }],
    ["woken for a job that is due", { depth: "paused", wakeAtMs: 1_000_000 }, { do: "wake" }],
    [
      "not ended a moment before a job",
      { depth: "paused", idleMs: 1e9, wakeAtMs: 1_030_000 },
      { do: "wait", ms: 30_000 },
    ],
  ])("%s", (_, change, expected) => expect(rest(change)).toEqual(expected));

  it("is looked at again in time: no wait is longer than what it waits for, and none is over", () => {
    const depth = fc.constantFrom("paused" as const, "stopped" as const, null);
    const ms = fc.integer({ min: 0, max: 10_000_000 });
    const seconds = fc.option(fc.integer({ min: 1, max: 10_000 }), { nil: undefined });
    const policies = fc.record({ pauseAfterSeconds: seconds, stopAfterSeconds: seconds });
    fc.assert(
      fc.property(policies, depth, ms, fc.option(ms), (given, deep, idleMs, wakeInMs) => {
        const next = nextRest({ policy: given, depth: deep, idleMs, wakeAtMs: wakeInMs, nowMs: 0 });
        if (next.do !== "wait" || next.ms === undefined) return;
        expect(next.ms).toBeGreaterThan(0);
        if (deep !== null && wakeInMs !== null) expect(next.ms).toBeLessThanOrEqual(wakeInMs);
      }),
    );
  });

  it("is awake before its next job, and stays awake for one that is near", () => {
    expect(wakeTime(null, "stopped", 0)).toEqual({ sleep: true, wakeAtMs: null });
    expect(wakeTime(600_000, "stopped", 0)).toEqual({ sleep: true, wakeAtMs: 570_000 });
    expect(wakeTime(80_000, "stopped", 0)).toMatchObject({ sleep: false });
    expect(wakeTime(80_000, "paused", 0)).toEqual({ sleep: true, wakeAtMs: 79_000 });
    expect(wakeTime(500, "paused", 0)).toMatchObject({ sleep: false });
  });

  it.each([
    ["somebody is connected", { connections: { inbound: 1, outbound: 0 } }],
    ["it is connected to somebody", { connections: { inbound: 0, outbound: 1 } }],
    ["nobody can see its connections", { connections: null }],
    ["its runtime says that it works", { runtime: "a job is running" }],
    ["its runtime has no word, and it computes", { runtime: undefined, cpuShare: 0.5 }],
  ])("not while %s", (_, change) => {
    const idle = { runtime: null, connections: { inbound: 0, outbound: 0 }, cpuShare: 0 };
    expect(occupation(idle)).toBeNull();
    expect(occupation({ ...idle, ...change })).not.toBeNull();
  });
});

describe("connections of a container", () => {
  const head = "  sl  local_address rem_address   st tx_queue rx_queue";
  const line = (local: string, remote: string, state: string) => `   0: ${local} ${remote} ${state} 00000000:00000000`;
  // 10.213.0.2:8080, 10.213.0.1:40000, 203.0.113.9:443, 127.0.0.1
  const [own, caddy, model, loopback] = ["0200D50A:1F90", "0100D50A:9C40", "097100CB:01BB", "0100007F:1F90"];
  it("are told apart by who began them; what listens, ends or talks to itself is none", () => {
    const tcp = [
      head,
      line(own, "00000000:0000", "0A"),
      line(own, caddy, "01"),
      line(own, caddy, "06"),
      line("0200D50A:A000", model, "01"),
      line("0100007F:B000", loopback, "01"),
    ].join("\n");
    expect(countConnections([tcp, ""], 8080)).toEqual({ inbound: 1, outbound: 1 });
  });
  it("are seen on a socket that speaks both families", () => {
    const mapped = (v4: string) => `0000000000000000FFFF0000${v4}`;
    const tcp6 = [
      line(mapped(own), mapped(caddy), "01"),
      line(mapped("0100007F:B000"), mapped(loopback), "01"),
      line(`${"0".repeat(24)}01000000:1F90`, `${"0".repeat(24)}01000000:B000`, "01"),
    ].join("\n");
    expect(countConnections(["", tcp6], 8080)).toEqual({ inbound: 1, outbound: 0 });
  });
});

describe("the meter", () => {
  async function metered(inbound: () => number, costMs = 0) {
    let now = 0;
    const counts: number[] = [];
    const count = () => {
      counts.push(now);
      now += costMs;
      return { inbound: inbound(), outbound: 0 };
    };
    const meter = createMeter({ pidOf: async () => 7, count, now: () => now });
    meter.admits("tnt_a", 10);
    await Promise.resolve();
    now = 2_000;
    return { meter, counts, later: (ms: number) => (now += ms) };
  }
  it("lets in no more than may be open, also of those that came since the last count", async () => {
    const { meter, later } = await metered(() => 7);
    expect([1, 2, 3, 4, 5].map(() => meter.admits("tnt_a", 10))).toEqual([true, true, true, false, false]);
    later(100);
    expect(meter.admits("tnt_a", 10)).toBe(true);
  });
  it("counts as soon as it knows where, however long that took", async () => {
    const found = Promise.withResolvers<number>();
    const meter = createMeter({
      pidOf: () => found.promise,
      count: () => ({ inbound: 10, outbound: 0 }),
      now: () => 0,
    });
    expect(meter.admits("tnt_a", 10)).toBe(true);
    found.resolve(7);
    await found.promise;
    expect(meter.admits("tnt_a", 10)).toBe(false);
  });
  it("spends a twentieth of its time on counting at most, however long that takes", async () => {
    const { meter, counts, later } = await metered(() => 10, 50);
    for (let ms = 0; ms < 10_000; ms += 10) {
      meter.admits("tnt_a", 10);
      later(10);
    }
    expect(counts.length).toBeLessThanOrEqual(12);
  });
});
