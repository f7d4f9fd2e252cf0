import { once } from "node:events";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { request } from "node:http";
import { describe, expect, it } from "vitest";
import { createLog } from "../log.ts";
import { allAttacks } from "./attacks/index.ts";
import { perimeterAttacks } from "./attacks/perimeter.ts";
import { createDoor, openDoor } from "./door.ts";
import { settingGates, versionGates } from "./gates.ts";
import { CANARY_LIMITS, CANARY_SEATS, canaryLayouts, type Ground, type Managed, tenantSlots } from "./ground.ts";
import type { FullVerdict } from "./index.ts";
import { postureReport } from "./report.ts";
import { parseSeen, refusedWith, rowOf, type Seen, showing, stoppedBy, unreached, verdictOf } from "./rules.ts";

const seen = (verdict: Seen["verdict"], detail = ""): Seen => ({ verdict, detail });
const seat = (number: number, pool = "10.213.0.0/16") =>
  canaryLayouts({ seat: number, pool, uidBase: 200_000, stateDir: "/s", runDir: "/r" });
const NOTHING: Managed = { cloud: false, ufw: false, modules: false };
const ALL: Managed = { cloud: true, ufw: true, modules: true };
const ground = (managed = NOTHING): Ground => ({
  ...seat(0),
  limits: CANARY_LIMITS,
  pool: "10.213.0.0/16",
  resolver: "9.9.9.9",
  cgroupVersion: "1",
  arch: "x64",
  bridgeAddress6: "fe80::1",
  bridgeMac: "02:00:00:00:00:02",
  hostNamespaces: "pid:[1] net:[2]",
  hostPorts: [22, 8787],
  managed,
  controlPlane: { networks: ["151.101.1.8/30", "2001:db8:9::/48"], https: ["151.101.1.9/32"] },
  modprobeDirectories: ["/etc/modprobe.d"],
});
const table = (managed?: Managed) => allAttacks(ground(managed));

describe("what counts as held", () => {
  it("is the wall's own refusal, and no other failure", () => {
    const judge = refusedWith("EPERM");
    expect(judge(seen("refused", "1")).outcome).toBe("held");
    for (const errno of ["38", "22", "2", "13"]) expect(judge(seen("refused", errno)).outcome).toBe("breached");
    expect(judge(seen("done", "returned 0")).outcome).toBe("breached");
    expect(judge(seen("ended", "signal 11")).outcome).toBe("breached");
  });

  it("is never an attack that was not really tried", () => {
    for (const judge of [refusedWith("EPERM"), unreached, stoppedBy(1, "MiB"), showing(() => null, String)]) {
      expect(judge(seen("broken", "no perl"), { attack: 0, control: 1 }).outcome).toBe("unproven");
    }
  });

  it("is never silence where the target was not reached from where it is allowed either", () => {
    expect(unreached(seen("silent"), { attack: 0, control: 0 }).outcome).toBe("unproven");
    expect(unreached(seen("silent"), null).outcome).toBe("unproven");
    expect(unreached(seen("silent"), { attack: 0, control: 1 }).outcome).toBe("held");
  });

  it("is not one packet that arrived, even if no answer came back", () => {
    expect(unreached(seen("silent"), { attack: 1, control: 1 }).outcome).toBe("breached");
    expect(unreached(seen("answered", "reset"), { attack: 0, control: 1 }).outcome).toBe("breached");
  });

  it("is a limit that stopped the attack at or below its number", () => {
    const judge = stoppedBy(96, "processes");
    expect(judge(seen("stopped", "86 processes")).outcome).toBe("held");
    expect(judge(seen("stopped", "97 processes")).outcome).toBe("breached");
    expect(judge(seen("done", "86 processes")).outcome).toBe("breached");
  });

  it("is nobody's who does not keep that wall, and such rows are neither held nor breached", () => {
    const rows = perimeterAttacks(ground()).map((row) => rowOf(row, { outcome: "not_managed", evidence: "why" }));
    expect(new Set(rows.map(({ held }) => held))).toEqual(new Set([null]));
    expect(verdictOf(rows)).toMatchObject({ held: 0, breached: 0, unproven: 0, notManaged: rows.length });
  });

  it("says nothing for a line that is no verdict", () => {
    const output = "a\tdone\tx\nheld\nb\theld\tx\nc\trefused\t1\n";
    expect([...parseSeen(output)]).toEqual([
      ["a", seen("done", "x")],
      ["c", seen("refused", "1")],
    ]);
  });
});

describe("the table", () => {
  it("names each attack once, with its source, over all four walls", () => {
    const ids = table().map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.length).toBeGreaterThanOrEqual(40);
    expect(new Set(table().map(({ layer }) => layer))).toEqual(new Set([1, 2, 3, 4]));
    expect(table().every(({ source, tries, must }) => source !== "" && tries !== "" && must !== "")).toBe(true);
  });

  it("tries the second wall only where it is managed, and never calls the first one held", () => {
    const tried = (managed: Managed, layer: number) =>
      perimeterAttacks(ground(managed)).filter((row) => row.layer === layer && "judge" in row).length;
    expect([tried(NOTHING, 2), tried(ALL, 2)]).toEqual([0, 5]);
    expect(tried(ALL, 1)).toBe(0);
  });

  it("has a counter-proof for whatever is judged by silence", () => {
    for (const row of table(ALL)) {
      if ("judge" in row && row.judge === unreached) expect(row.control, row.id).toBeDefined();
    }
  });

  it("makes a report that the protocol takes, and keeps what went wrong for the operator", () => {
    const attacks = table().map((row) =>
      rowOf(row, { outcome: "unproven", evidence: `/var/lib/chelar ${"x".repeat(400)}` }),
    );
    const report = postureReport({ ...verdictOf(attacks), gates: [] }, 1, 2);
    expect(JSON.stringify(report)).not.toContain("/var/lib");
    expect(JSON.stringify(report).length).toBeLessThan(45_000);
  });
});

describe("canaries", () => {
  it("never have a tenant's slot or UID, and no two have the same", () => {
    const all = Array.from({ length: CANARY_SEATS }, (_, index) => Object.values(seat(index))).flat();
    expect(new Set(all.map(({ slot }) => slot)).size).toBe(all.length);
    expect(new Set(all.map(({ uid }) => uid)).size).toBe(all.length);
    expect(all.every(({ slot, uid }) => slot >= tenantSlots(4_096) && uid < 200_000)).toBe(true);
  });

  it("leave tenants at least half of the smallest pool, and the first pair fits beside them", () => {
    expect(tenantSlots(16)).toBe(8);
    expect(Object.values(seat(0, "10.0.0.0/24")).every(({ slot }) => slot >= tenantSlots(16))).toBe(true);
  });
});

describe("version gates", () => {
  const afAlg = { outcome: "held", evidence: "EAFNOSUPPORT" } as const;
  const passing = (facts: Partial<Parameters<typeof versionGates>[0]>) =>
    versionGates({ docker: "29.5.1", runc: "1.3.3", caddy: "v2.11.4 h1:x=", afAlg, ...facts })
      .filter(({ ok }) => ok)
      .map(({ name }) => name);
  it.each([
    [{}, ["docker", "runc", "caddy", "af_alg"]],
    [{ docker: "29.5.0", caddy: "2.6.2" }, ["runc", "af_alg"]],
    [{ docker: "29.10.0" }, ["docker", "runc", "caddy", "af_alg"]],
    [{ runc: "1.2.8" }, ["docker", "runc", "caddy", "af_alg"]],
    [{ runc: "1.3.2" }, ["docker", "caddy", "af_alg"]],
    [{ runc: "1.1.5+ds1" }, ["docker", "caddy", "af_alg"]],
    [{ docker: null, runc: null, caddy: null, afAlg: undefined }, []],
    [{ afAlg: { outcome: "breached", evidence: "a socket" } as const }, ["docker", "runc", "caddy"]],
  ])("%j: %j", (facts, names) => {
    expect(passing(facts)).toEqual(names);
  });
});

describe("the engine's settings", () => {
  const good = {
    info: { LiveRestoreEnabled: true, DefaultAddressPools: [{}], FirewallBackend: { Driver: "iptables" } },
    bridgeOptions: { "com.docker.network.bridge.enable_icc": "false" },
    routeLocalnet: "1\n",
  };
  const failing = (facts: Partial<Parameters<typeof settingGates>[0]>) =>
    settingGates({ ...good, ...facts })
      .filter(({ ok }) => !ok)
      .map(({ name }) => name);
  it.each([
    [{}, []],
    [{ info: { LiveRestoreEnabled: true, DefaultAddressPools: [{}] } }, []],
    [{ info: {} }, ["live_restore", "address_pools"]],
    [{ info: { ...good.info, FirewallBackend: { Driver: "nftables" } } }, ["firewall_backend"]],
    [{ bridgeOptions: {} }, ["inter_container"]],
    [{ routeLocalnet: "0\n" }, ["userland_proxy"]],
  ])("%j: below are %j", (facts, names) => {
    expect(failing(facts)).toEqual(names);
  });
});

describe("the operator's door", () => {
  it("is root's alone, runs one at a time, and tells progress before the verdict", async () => {
    const dir = await mkdtemp("/tmp/chl-door-");
    const { promise: verdict, resolve } = Promise.withResolvers<FullVerdict>();
    const door = createDoor({
      run: (tell) => {
        tell({ fraction: 0.5, detail: "half" });
        return verdict;
      },
      log: createLog(() => {}),
    });
    await openDoor(door, `${dir}/operator.sock`);
    const ask = async (method: string, path: string) => {
      const call = request({ socketPath: `${dir}/operator.sock`, method, path }).end();
      const [response] = (await once(call, "response")) as [import("node:http").IncomingMessage];
      return response;
    };
    try {
      expect((await stat(`${dir}/operator.sock`)).mode & 0o777).toBe(0o600);
      expect((await ask("GET", "/posture")).statusCode).toBe(405);
      expect((await ask("POST", "/")).statusCode).toBe(404);
      const first = await ask("POST", "/posture");
      expect((await ask("POST", "/posture")).statusCode).toBe(409);
      resolve({ ...verdictOf([]), gates: [] });
      const lines = (await first.setEncoding("utf8").toArray()).join("").trim().split("\n");
      expect(lines.map((line) => Object.keys(JSON.parse(line))[0])).toEqual(["progress", "verdict"]);
    } finally {
      door.closeAllConnections();
      door.close();
      await rm(dir, { recursive: true });
    }
  });
});
