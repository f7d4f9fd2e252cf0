import { afterAll, beforeAll, expect, test } from "vitest";
import { createFirewall, type HostFirewall, hostRun } from "../../host-agent/firewall/index.ts";
import { createTestHost, type TestHost } from "../hosts/index.ts";

/** The policy beside Docker's own rules, which do grow with every network. */
const NETWORKS = 200;
const ROUNDS = 7;
let host: TestHost;
let firewall: HostFirewall;
let networks = 0;

beforeAll(async () => {
  host = await createTestHost();
  firewall = createFirewall({
    run: hostRun(host.enter),
    inputs: { pool: "10.213.0.0/16", resolvers: ["9.9.9.9", "1.1.1.1"] },
  });
});
afterAll(() => host?.destroy());

async function networksUpTo(count: number): Promise<void> {
  for (; networks < count; networks++) {
    const start = networks * 16;
    const subnet = `10.213.${start >> 8}.${start & 255}/28`;
    const bridge = `com.docker.network.bridge.name=chl${networks}`;
    const socket = ["-H", `unix://${host.dockerSocket}`];
    await host.run("docker", [...socket, "network", "create", "--opt", bridge, "--subnet", subnet, `chl${networks}`]);
  }
}

/** Rules in the kernel, IPv4 and IPv6: of our chains, and of all. */
async function count(): Promise<{ ours: number; all: number; routing: number }> {
  const saved = (await host.run("iptables-save", [])) + (await host.run("ip6tables-save", []));
  const rules = saved.split("\n").filter((row) => row.startsWith("-A "));
  const routing = (await host.run("ip", ["rule", "show"])).split("\n").filter((row) => row.includes("proto 219"));
  return { ours: rules.filter((row) => row.includes("CHELAR-")).length, all: rules.length, routing: routing.length };
}

const median = (values: number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

/** Milliseconds to bring an empty policy up, and to see that it stands. */
async function measure(): Promise<{ applyMs: number; verifyMs: number }> {
  const [applies, verifies]: [number[], number[]] = [[], []];
  for (let round = 0; round < ROUNDS; round++) {
    for (const tool of ["iptables", "ip6tables"]) {
      for (const [table, chains] of [
        ["filter", ["CHELAR-FORWARD", "CHELAR-INPUT"]],
        ["mangle", ["CHELAR-FORWARD"]],
      ] as const) {
        for (const chain of tool === "iptables" || table === "filter" ? chains : []) {
          await host.run(tool, ["-w", "-t", table, "-F", chain]).catch(() => {});
        }
      }
    }
    const begun = performance.now();
    await firewall.apply();
    const applied = performance.now();
    expect(await firewall.verify()).toEqual([]);
    applies.push(applied - begun);
    verifies.push(performance.now() - applied);
  }
  return { applyMs: median(applies), verifyMs: median(verifies) };
}

test(`the policy is the same at 1 network and at ${NETWORKS}, and takes no longer to apply`, async () => {
  await networksUpTo(1);
  await firewall.apply();
  const [one, oneTime] = [await count(), await measure()];
  await networksUpTo(NETWORKS);
  const [many, manyTime] = [await count(), await measure()];
  console.table({ "1 network": { ...one, ...oneTime }, [`${NETWORKS} networks`]: { ...many, ...manyTime } });
  expect({ ours: many.ours, routing: many.routing }).toEqual({ ours: one.ours, routing: one.routing });
  expect(many.all).toBeGreaterThan(one.all);
  console.log(`apply at ${NETWORKS} over apply at 1: ${(manyTime.applyMs / oneTime.applyMs).toFixed(2)}`);
}, 600_000);
