import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { type Failure, describe as words } from "./failure.ts";
import { fingerprintOf, openKnownHosts } from "./known-hosts.ts";
import { agentArgv, agentUnit, daemonJson, ingressUnit, type Programs } from "./plan.ts";
import { engineFaults, looseModules, parseEngineVersion } from "./rules.ts";
import { type Site, type Step, take } from "./site.ts";
import { quoted } from "./ssh.ts";
import { STEPS } from "./steps.ts";
import { lastWords } from "./units.ts";

const run = promisify(execFile);
const dir = mkdtempSync(join(tmpdir(), "chelar-bootstrap-"));
afterAll(() => rmSync(dir, { recursive: true }));

describe("a command over SSH", () => {
  it("reaches the program word by word, whatever is in the words", async () => {
    const word = fc.string({ unit: "grapheme", maxLength: 12 }).filter((text) => !text.includes("\0"));
    const nasty = fc.constantFrom("$(id)", "`id`", "a'b", "'; rm -rf /; '", "\n", "$HOME", "*", "\\", "-n", "");
    await fc.assert(
      fc.asyncProperty(fc.array(fc.oneof(word, nasty), { maxLength: 5 }), async (args) => {
        const print = "process.stdout.write(JSON.stringify(process.argv.slice(1)))";
        const { stdout } = await run("sh", ["-c", quoted([process.execPath, "-e", print, "--", ...args])]);
        expect(JSON.parse(stdout)).toEqual(args);
      }),
      { numRuns: 25 },
    );
  }, 60_000);
});

describe("known hosts", () => {
  const key = (letter: string) => `SHA256:${letter.repeat(43)}`;

  it("are kept for the operator only, one key per server", () => {
    const known = openKnownHosts(`${dir}/a/known-hosts.json`);
    expect(known.find("203.0.113.7:22")).toBeNull();
    known.pin("203.0.113.7:22", key("A"));
    known.pin("203.0.113.7:2222", key("B"));
    expect(known.find("203.0.113.7:22")).toBe(key("A"));
    expect(known.find("203.0.113.7:2222")).toBe(key("B"));
    expect(statSync(known.file).mode & 0o777).toBe(0o600);
  });

  it.each(["", "{", "[]", '{"a:22": "nonsense"}', '{"a:22": 7}'])(
    "a damaged file (%j) is refused, never taken for empty",
    (text) => {
      writeFileSync(`${dir}/damaged.json`, text);
      expect(() => openKnownHosts(`${dir}/damaged.json`).find("a:22")).toThrow(/cannot be read as known hosts/);
      expect(() => openKnownHosts(`${dir}/damaged.json`).pin("a:22", key("A"))).toThrow();
    },
  );

  it("fingerprints are those of ssh-keygen", async () => {
    await run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", `${dir}/key`]);
    const { stdout } = await run("ssh-keygen", ["-l", "-f", `${dir}/key.pub`]);
    const { stdout: file } = await run("cat", [`${dir}/key.pub`]);
    expect(fingerprintOf(Buffer.from(file.split(" ")[1] as string, "base64"))).toBe(stdout.split(" ")[1]);
  });
});

const shipped = { file: "", sha256: "", bytes: 0, mode: 0o644 };
const programs: Programs = {
  machine: "x86_64",
  node: { ...shipped, path: "node-v24/bin/node" },
  release: "agent-1",
  agent: [],
  npm: null,
};

describe("what is written on a server", () => {
  it("Docker lets containers outlive it, and lets none reach another or publish through a proxy", () => {
    expect(JSON.parse(daemonJson(null))).toMatchObject({
      ...{ "live-restore": true, "userland-proxy": false, icc: false },
      "default-address-pools": [{ base: "172.30.0.0/16", size: 28 }],
    });
  });

  it("Docker's firewall is pinned to iptables from the first engine on that has a choice, and older ones start", () => {
    const pinned = (version: string | null) => JSON.parse(daemonJson(version))["firewall-backend"];
    expect(["29.0.0", "29.5.1", "30.1"].map(pinned)).toEqual(["iptables", "iptables", "iptables"]);
    expect([null, "20.10.24", "28.5.2"].map(pinned)).toEqual([undefined, undefined, undefined]);
  });

  it("the agent's unit has no option that hides its mounts from Docker, and its stop takes no tenant's files along", () => {
    const unit = agentUnit(programs, "mark");
    expect(unit).not.toMatch(
      /^(?:Protect|Private|ReadOnly|ReadWrite|Inaccessible|Bind|Temporary|RootDirectory|Mount)/m,
    );
    expect(unit).toMatch(/^KillMode=process$/m);
  });

  it("Caddy runs as its own user with one capability and a read-only system", () => {
    const unit = ingressUnit(programs, "mark");
    for (const line of [
      "User=caddy",
      "CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
      "ProtectSystem=strict",
      "NoNewPrivileges=yes",
    ]) {
      expect(unit.split("\n")).toContain(line);
    }
  });

  it("no command line has a place for the one-time token", () => {
    expect(agentArgv(programs, "enrol").join(" ")).not.toContain("token");
  });
});

describe("a step", () => {
  function site(): Site {
    let now = 0;
    const sleep = async (ms: number) => {
      now += ms;
    };
    return { nowMs: () => now, sleep } as unknown as Site;
  }
  const step = (more: Partial<Step>): Step => ({
    id: "x",
    title: "x",
    missing: async () => [],
    act: async () => {},
    ...more,
  });

  it("that finds nothing missing changes nothing", async () => {
    let acted = 0;
    expect(await take(step({ act: async () => void acted++ }), site())).toBe(false);
    expect(acted).toBe(0);
  });

  it("is never believed: what is still missing after it acted fails it", async () => {
    await expect(take(step({ missing: async () => ["the wall"] }), site())).rejects.toThrow(
      /step "x" failed: still missing: the wall/,
    );
  });

  it("may come true a little later, and no later than it may", async () => {
    const trueAfter = (looks: number) => {
      let left = looks;
      return step({ settleSeconds: 10, missing: async () => (left-- > 0 ? ["not yet"] : []) });
    };
    expect(await take(trueAfter(5), site())).toBe(true);
    await expect(take(trueAfter(500), site())).rejects.toThrow("not yet");
  });

  it("has a name of its own", () => {
    expect(new Set(STEPS.map(({ id }) => id)).size).toBe(STEPS.length);
  });
});

describe("what is believed of a server", () => {
  it("modules are blocked when modprobe itself says so, and none is loaded", () => {
    const blocked = "install algif_aead /bin/false\ninstall af_alg /bin/false\n";
    const names = ["algif_aead", "af_alg"];
    expect(looseModules(names, blocked, "")).toEqual([]);
    expect(looseModules(names, null, "")).toEqual([]);
    expect(looseModules(names, "blacklist algif_aead\nblacklist af_alg\n", "")).toHaveLength(2);
    // The first line of a name is the one that counts: somebody else's file may come before ours.
    expect(looseModules(names, `install algif_aead /sbin/modprobe -i algif_aead\n${blocked}`, "")).toHaveLength(1);
    expect(looseModules(names, blocked, "algif_aead 16384 0 - Live 0x0\n")).toEqual(["algif_aead is loaded"]);
  });

  it("Docker's settings are in force when Docker says so", () => {
    const good = { LiveRestoreEnabled: true, DefaultAddressPools: [{}], FirewallBackend: { Driver: "iptables" } };
    const faults = (change: object) => engineFaults(JSON.stringify({ ...good, ...change }));
    expect(faults({})).toEqual([]);
    expect(faults({ FirewallBackend: undefined })).toEqual([]);
    expect(faults({ FirewallBackend: { Driver: "nftables" } })).toHaveLength(1);
    expect(faults({ LiveRestoreEnabled: false, DefaultAddressPools: undefined })).toHaveLength(2);
    expect(engineFaults("no JSON")).toHaveLength(1);
    expect(parseEngineVersion("Docker version 20.10.24+dfsg1, build 297e128")).toBe("20.10.24");
  });
});

it("a program's last words are its error, else its last line", () => {
  expect(lastWords('x\n2026-11-22T00:00:00Z error failed error="the edge refuses"\n')).toBe("the edge refuses");
  expect(lastWords("Segmentation fault\n")).toBe("Segmentation fault");
  expect(lastWords("")).toBe("it gave no reason");
});

it.each<Failure>([
  { reason: "unreachable", server: "a:22", detail: "x" },
  { reason: "host_key_unknown", server: "a:22", shown: "SHA256:x" },
  { reason: "authentication_refused", server: "a:22", with: "key" },
  { reason: "credentials", detail: "x." },
  { reason: "busy", server: "a:22" },
  { reason: "unfit", server: "a:22", unfit: [] },
])("the sentence of $reason says that nothing was changed", (failure) => {
  expect(words(failure)).toContain("Nothing was changed");
});
