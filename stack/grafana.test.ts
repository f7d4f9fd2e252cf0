import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { HOST_METRICS, hostMetrics } from "../host-agent/metrics/rules.ts";
import { EDGE_METRICS } from "../worker/metrics/rules.ts";
import { ROOT } from "./worker.ts";

interface Dashboard {
  panels: { title: string; targets: { expr: string }[] }[];
}

const dashboard = JSON.parse(readFileSync(`${ROOT}/ops/grafana/chelar.json`, "utf8")) as Dashboard;
const queries = dashboard.panels.flatMap(({ title, targets }) => targets.map(({ expr }) => ({ title, expr })));
const table = { ...EDGE_METRICS, ...HOST_METRICS };
const namesIn = (expr: string): string[] => expr.match(/\bchelar_\w+/g) ?? [];

describe("the dashboard", () => {
  it("asks for metrics that exist, and for every one of them", () => {
    for (const { title, expr } of queries) {
      expect(namesIn(expr).length, title).toBeGreaterThan(0);
      for (const name of namesIn(expr)) expect(Object.keys(table), title).toContain(name);
    }
    expect(Object.keys(table).filter((name) => !queries.some(({ expr }) => namesIn(expr).includes(name)))).toEqual([]);
  });

  it("takes the rate of counters only", () => {
    for (const { expr } of queries) {
      for (const [, name] of expr.matchAll(/(?:rate|increase)\((chelar_\w+)/g)) {
        expect(table[name as keyof typeof table][0], name).toBe("counter");
      }
    }
  });
});

describe("what a host tells", () => {
  const facts = {
    tenants: [
      { state: "running", asleep: null, goal: "running" },
      { state: "running", asleep: "paused", goal: "running" },
      { state: "purged", asleep: null, goal: "purged" },
    ] as const,
    guard: { standing: true, checks: 7, byWall: { iptables: 2 } },
    reports: { waiting: 3, last: 90 },
    ...{ keysetVersion: 1, epoch: 2, diskFreeBytes: 1e9, residentBytes: 2e8, cpuSeconds: 1.5, startedAtMs: 1_000 },
  };

  it("is every metric of its table, and no agent that is gone", () => {
    const text = hostMetrics(facts);
    for (const name of Object.keys(HOST_METRICS)) expect(text).toMatch(new RegExp(`^${name}[ {]`, "m"));
    expect(text).toContain('chelar_host_agents{state="running"} 2\n');
    expect(text).toContain('chelar_host_agents_asleep{depth="paused"} 1\n');
    expect(text).not.toContain("purged");
  });
});
