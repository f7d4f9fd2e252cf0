import { describe, expect, it } from "vitest";
import { DATABASE, dayLevel, dayOf, EDGE, judge, type Look, regionLevels, uptime, worst } from "./rules.ts";

const NOON = dayOf(30_000_000) * 1440 + 720;
const at = (minute: number) => minute * 60_000;
const host = (region: string, silentMinutes: number, minute = NOON) => ({
  ...{ region, lastReportAt: at(minute - silentMinutes), enrolledAt: 0 },
});
const look = (change: Partial<Look> = {}) =>
  judge({ minute: NOON, lastMinute: NOON - 1, databaseMs: 5, hosts: [], databaseFailed: false, ...change });
const total = (judged: ReturnType<typeof judge>, component: string) =>
  (judged?.counts ?? []).filter((it) => it.component === component).reduce((sum, { minutes }) => sum + minutes, 0);

describe("a region", () => {
  it("is as well as all of its hosts together", () => {
    const levels = regionLevels([host("eu", 0), host("eu", 9), host("us", 9), host("as", 1)], at(NOON));
    expect(Object.fromEntries(levels)).toEqual({ "region:eu": "poor", "region:us": "bad", "region:as": "good" });
  });
  it("counts a host that was never heard from when it was taken in", () => {
    const fresh = { region: "eu", lastReportAt: null, enrolledAt: at(NOON) };
    expect(regionLevels([fresh], at(NOON)).get("region:eu")).toBe("good");
    expect(regionLevels([{ ...fresh, enrolledAt: at(NOON - 9) }], at(NOON)).get("region:eu")).toBe("bad");
  });
});

describe("a look", () => {
  it("counts each minute once, however often the clock ticks", () => {
    expect(look({ lastMinute: NOON })).toBeNull();
    expect(look({ lastMinute: NOON + 1 })).toBeNull();
    expect(total(look(), EDGE)).toBe(1);
    expect(total(look({ lastMinute: null }), EDGE)).toBe(1);
  });
  it("forgives a clock that skips a minute or two", () => {
    const judged = look({ lastMinute: NOON - 3 });
    expect(judged?.gap).toBeNull();
    expect(total(judged, EDGE)).toBe(3);
  });
  it("puts a time in which nobody watched down to the edge, or to the database where it is known to have failed", () => {
    expect(look({ lastMinute: NOON - 20 })?.gap).toEqual({ component: EDGE, from: NOON - 19, to: NOON });
    const judged = look({ lastMinute: NOON - 20, databaseFailed: true });
    expect(judged?.gap?.component).toBe(DATABASE);
    expect(judged?.counts).toContainEqual({ component: DATABASE, day: dayOf(NOON), level: "bad", minutes: 19 });
    expect(total(judged, EDGE)).toBe(1);
  });
  it("does not call hosts silent that could not be heard while it was away itself", () => {
    const hosts = [host("eu", 15)];
    expect([...(look({ hosts, lastMinute: NOON - 20 })?.now.keys() ?? [])]).toEqual([EDGE, DATABASE]);
    expect(look({ hosts })?.now.get("region:eu")).toBe("bad");
  });
  it("divides what lies over midnight between the days", () => {
    const midnight = dayOf(NOON) * 1440;
    const judged = look({ minute: midnight + 4, lastMinute: midnight - 6 });
    const bad = judged?.counts.filter(({ level }) => level === "bad");
    expect(bad?.map(({ day, minutes }) => [day - dayOf(NOON), minutes])).toEqual([
      [-1, 5],
      [0, 4],
    ]);
  });
  it("says of a year of absence no more than is shown", () => {
    expect(total(look({ lastMinute: NOON - 365 * 1440 }), EDGE)).toBe(90 * 1440 + 1);
  });
  it("calls a database slow that takes seconds", () => {
    expect(look({ databaseMs: 2_500 })?.now.get(DATABASE)).toBe("poor");
  });
});

it("calls no day good in which something was wrong, and none down for a moment", () => {
  const days = [{ good: 1440 }, { good: 1439, bad: 1 }, { good: 1400, bad: 40 }, { poor: 1, good: 9 }, {}];
  const counted = days.map((day) => ({ good: 0, poor: 0, bad: 0, ...day }));
  expect([...counted.map(dayLevel), dayLevel(undefined)]).toEqual(["good", "poor", "bad", "poor", null, null]);
});

it("rounds down, so that 100 percent was never away", () => {
  expect(uptime([{ good: 129_599, poor: 0, bad: 1 }])).toBe(99.99);
  expect(uptime([{ good: 10, poor: 5, bad: 0 }])).toBe(100);
  expect(uptime([])).toBeNull();
  expect(worst(["good", "bad", "poor"])).toBe("bad");
});
