import { describe, expect, it } from "vitest";
import {
  describeUnfit,
  type Needs,
  parseFreeSpace,
  parseListening,
  parseOsRelease,
  parseResolvers,
  parseTarget,
  refuseServer,
  type ServerFacts,
  sitePort,
} from "./rules.ts";

const needs: Needs = { machine: "x86_64", diskMiB: 8_192, memoryMiB: 1_536, ports: [80, 443] };
const fit: ServerFacts = {
  uid: 0,
  osId: "debian",
  osVersion: 12,
  osName: "Debian GNU/Linux 12 (bookworm)",
  kernel: "6.1.0-28-amd64",
  machine: "x86_64",
  systemd: true,
  disks: [{ path: "/var/lib", freeMiB: 20_000 }],
  memoryMiB: 3_900,
  listening: [22],
  ingressRuns: false,
  foreignDocker: false,
  clockOffSeconds: 0.4,
};

describe("a server", () => {
  it("that is a fresh Debian 12 or newer is taken", () => {
    expect(refuseServer(fit, needs)).toEqual([]);
    expect(refuseServer({ ...fit, osVersion: 13, kernel: "7.0.1" }, needs)).toEqual([]);
  });

  it.each([
    ["not_root", { uid: 1000 }, "UID 1000"],
    ["not_debian", { osId: "ubuntu", osVersion: 24.04, osName: "Ubuntu 24.04" }, "Ubuntu 24.04"],
    ["not_debian", { osVersion: 11, osName: "Debian 11" }, "Debian 11"],
    ["not_debian", { osVersion: null }, "Debian 12 or newer"],
    ["no_systemd", { systemd: false }, "systemd"],
    ["machine", { machine: "aarch64" }, "aarch64"],
    ["kernel", { kernel: "5.10.0-30-amd64" }, "5.10.0-30-amd64"],
    [
      "disk",
      { disks: [...fit.disks, { path: "/var/lib/docker", freeMiB: 512 }] },
      "0.5 GiB are free under /var/lib/docker",
    ],
    ["memory", { memoryMiB: 512 }, "0.5 GiB of memory"],
    ["port_taken", { listening: [22, 443] }, "443"],
    ["docker_configured", { foreignDocker: true }, "/etc/docker/daemon.json"],
    ["clock", { clockOffSeconds: -600 }, "-600 s"],
  ] as const)("is refused for %s alone, in words that name the value", (reason, more, words) => {
    const unfit = refuseServer({ ...fit, ...more } as ServerFacts, needs);
    expect(unfit.map((it) => it.reason)).toEqual([reason]);
    expect(unfit.map(describeUnfit).join()).toContain(words);
  });

  it("whose ports our own ingress holds is no stranger's", () => {
    expect(refuseServer({ ...fit, listening: [22, 80, 443], ingressRuns: true }, needs)).toEqual([]);
  });

  it("is told everything that is wrong at once", () => {
    const worst = { ...fit, osId: "alpine", memoryMiB: 64, listening: [80, 443] };
    expect(refuseServer(worst, needs).map(({ reason }) => reason)).toEqual([
      "not_debian",
      "memory",
      "port_taken",
      "port_taken",
    ]);
  });
});

describe("what a server says of itself", () => {
  it("os-release, quoted or not; a Debian without a version is testing and newer than any", () => {
    expect(parseOsRelease('ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian 12"\n')).toEqual({
      osId: "debian",
      osVersion: 12,
      osName: "Debian 12",
    });
    expect(parseOsRelease("ID=debian\n").osVersion).toBe(Number.POSITIVE_INFINITY);
    expect(parseOsRelease("ID=arch\n").osVersion).toBeNull();
    expect(parseOsRelease("").osId).toBe("unknown");
  });

  it("listening ports of IPv4 and IPv6, and no port that is only connected", () => {
    const head = "  sl  local_address rem_address   st";
    const row = (address: string, state: string) => `   0: ${address} 00000000:0000 ${state} 00000000:00000000`;
    const six = `${"0".repeat(32)}:01BB`;
    const text = [
      head,
      row("0100007F:0016", "0A"),
      row("0100007F:0050", "01"),
      row(six, "0A").replace(" 00000000:0000", ` ${"0".repeat(32)}:0000`),
    ];
    expect(parseListening(text.join("\n"))).toEqual([22, 443]);
  });

  it("free space as df prints it", () => {
    const text = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda1 100 1 2097152 1% /\n";
    expect(parseFreeSpace(text)).toEqual([2_048]);
  });

  it("name servers without its own loopback ones, three at most", () => {
    expect(parseResolvers("nameserver 127.0.0.53\nnameserver 9.9.9.9\nsearch x\nnameserver fe80::1\n")).toEqual([
      "9.9.9.9",
    ]);
    expect(parseResolvers(["1", "2", "3", "4"].map((n) => `nameserver 8.8.8.${n}\n`).join(""))).toHaveLength(3);
  });
});

describe("what an operator types", () => {
  it.each([
    ["root@203.0.113.7", "203.0.113.7"],
    ["root@server.example", "server.example"],
    ["root@[2001:db8::7]", "2001:db8::7"],
  ])("%s is a target", (text, address) => {
    expect(parseTarget(text)).toEqual({ address });
  });

  it.each([
    "",
    "203.0.113.7",
    "admin@203.0.113.7",
    "root@",
    "root@-oProxyCommand=x",
    "root@a b",
    "root@a;b",
    "root@a\nb",
    "root@[::1",
  ])("%j is none", (text) => {
    expect(parseTarget(text)).toBeNull();
  });

  it("ports of sites", () => {
    expect(["http://*.agents.example", "https://*.agents.example", "http://a.example:8080"].map(sitePort)).toEqual([
      80, 443, 8080,
    ]);
  });
});
