import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { limitsOf, PLAN_IDS, PLANS } from "../tenants/index.ts";
import { DAY_MS, entitlements, type Facts, nextReview, STAGES, type Subscription } from "./rules.ts";

const NOW = Date.UTC(2026, 0, 1);
const days = (n: number) => n * DAY_MS;
const facts = (more: Partial<Facts> = {}): Facts => ({
  mode: "stripe",
  trialEndsAt: NOW,
  subscription: null,
  warnings: [],
  ...more,
});
const subscription = (more: Partial<Subscription> = {}): Subscription => ({
  id: "sub_1",
  plan: "starter",
  standing: "paid",
  periodEndsAt: NOW + days(30),
  cancelsAt: null,
  owingSince: null,
  endedAt: null,
  ...more,
});
const stageAt = (it: Facts, at: number) => entitlements(it, at).stage;

describe("the plans", () => {
  it("cost 9, 19 and 49 dollars, and a larger one never gives less", () => {
    expect(PLAN_IDS.map((id) => PLANS[id].usdPerMonth)).toEqual([9, 19, 49]);
    for (const what of ["tenants", "cpuMillis", "diskMiB", "pids", "requestsPerMinute", "snapshots"] as const) {
      const sizes = PLAN_IDS.map((id) => PLANS[id][what]);
      expect(sizes, what).toEqual(sizes.toSorted((a, b) => a - b));
    }
  });

  it("give every agent the memory that it needs, the same in each: the hosts' room is counted by it", () => {
    for (const runtime of ["openclaw", "echo"] as const) {
      const sizes = [...PLAN_IDS, "trial", "a plan of old"].map((plan) => limitsOf(runtime, plan).memoryMiB);
      expect(new Set(sizes).size).toBe(1);
    }
    expect(limitsOf("openclaw", "starter").memoryMiB).toBe(2048);
  });
});

describe("entitlements", () => {
  it("walk a trial: Pro for 14 days, two reminders, then nothing runs and nothing is ever deleted by the clock", () => {
    const trial = facts({ trialEndsAt: NOW + days(14) });
    const walk = [0, 10.9, 11, 12.9, 13, 13.9, 14, 400].map((day) => stageAt(trial, NOW + days(day)));
    expect(walk).toEqual([
      "trial",
      "trial",
      "trial_3_days",
      "trial_3_days",
      "trial_1_day",
      "trial_1_day",
      "trial_ended",
      "trial_ended",
    ]);
    expect(entitlements(trial, NOW)).toMatchObject({ plan: "pro", tenants: PLANS.pro.tenants });
    expect(entitlements(trial, NOW + days(14))).toMatchObject({ tenants: 0, until: null });
  });

  it("walk a failed payment: 7 days of grace, 30 days stopped, a warning, and deletion 7 days after that warning", () => {
    const owing = subscription({ standing: "owing", owingSince: NOW });
    const at = (day: number, warnedOn?: number) =>
      entitlements(
        facts({
          subscription: owing,
          warnings: warnedOn === undefined ? [] : [{ cause: NOW, at: NOW + days(warnedOn) }],
        }),
        NOW + days(day),
      );
    expect([0, 6.9, 7, 36.9, 37].map((day) => at(day).stage)).toEqual([
      "grace",
      "grace",
      "suspended",
      "suspended",
      "warned",
    ]);
    expect(at(6.9).tenants).toBe(1);
    expect(at(7).tenants).toBe(0);
    expect(at(43.9, 37).stage).toBe("warned");
    expect(at(44, 37).stage).toBe("deletable");
  });

  it("delete nobody who was not warned a week before, however long the clock stood still", () => {
    const owing = facts({ subscription: subscription({ standing: "owing", owingSince: NOW }) });
    expect(stageAt(owing, NOW + days(1_000))).toBe("warned");
    const justNow = [{ cause: NOW, at: NOW + days(1_000) }];
    expect(stageAt({ ...owing, warnings: justNow }, NOW + days(1_006.9))).toBe("warned");
    // A warning about an earlier lapse is not a warning about this one.
    const earlier = [{ cause: NOW - days(100), at: NOW - days(60) }];
    expect(stageAt({ ...owing, warnings: earlier }, NOW + days(1_000))).toBe("warned");
  });

  it("stop at once what its owner ended, since that is no failed payment", () => {
    const ended = facts({ subscription: subscription({ standing: "ended", endedAt: NOW }) });
    expect([0, 29.9, 30].map((day) => stageAt(ended, NOW + days(day)))).toEqual(["suspended", "suspended", "warned"]);
  });

  it("delete nobody where nobody can pay", () => {
    const cut = facts({ mode: "trial", subscription: subscription({ standing: "ended", endedAt: NOW }) });
    expect(stageAt(cut, NOW + days(500))).toBe("suspended");
  });

  const anyTime = fc.integer({ min: -days(100), max: days(100) }).map((ms) => NOW + ms);
  const anySubscription = fc.record<Subscription>({
    id: fc.constant("sub_1"),
    plan: fc.constantFrom(...PLAN_IDS),
    standing: fc.constantFrom("paid", "owing", "ended"),
    periodEndsAt: anyTime,
    cancelsAt: fc.option(anyTime),
    owingSince: fc.option(anyTime),
    endedAt: fc.option(anyTime),
  });
  const anyFacts = fc.record<Facts>({
    mode: fc.constantFrom("off", "trial", "stripe"),
    trialEndsAt: anyTime,
    subscription: fc.option(anySubscription),
    warnings: fc.array(fc.record({ cause: anyTime, at: anyTime }), { maxLength: 3 }),
  });

  it("let paying undo every stage at any time", () => {
    fc.assert(
      fc.property(anyFacts, anySubscription, anyTime, (before, one, now) => {
        fc.pre(before.mode !== "off");
        const it = entitlements({ ...before, subscription: { ...one, standing: "paid" } }, now);
        expect(it).toMatchObject({ stage: "paid", plan: one.plan, tenants: PLANS[one.plan].tenants });
      }),
    );
  });

  it("never go back by the clock alone, and say truly when they end", () => {
    const order = (stage: string) => STAGES.indexOf(stage as (typeof STAGES)[number]);
    fc.assert(
      fc.property(anyFacts, anyTime, fc.integer({ min: 0, max: days(100) }), (it, now, later) => {
        const [first, second] = [entitlements(it, now), entitlements(it, now + later)];
        expect(order(second.stage)).toBeGreaterThanOrEqual(order(first.stage));
        if (first.until === null) expect(second.stage).toBe(first.stage);
        else {
          expect(first.until).toBeGreaterThan(now);
          expect(entitlements(it, first.until - 1).stage).toBe(first.stage);
          expect(entitlements(it, first.until).stage).not.toBe(first.stage);
        }
        expect(nextReview(first, true, now)).toBeLessThanOrEqual(first.until ?? now + days(1));
        expect(nextReview(first, true, now)).toBeGreaterThan(now);
      }),
    );
  });

  it("ask nothing of anybody on their own machine", () => {
    fc.assert(
      fc.property(anyFacts, anyTime, (it, now) => {
        expect(entitlements({ ...it, mode: "off" }, now).tenants).toBe(Number.POSITIVE_INFINITY);
      }),
    );
  });
});
