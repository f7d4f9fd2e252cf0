import { describe, expect, it } from "vitest";
import { RUNTIMES } from "../../schema/protocol/index.ts";
import { RUNTIME_TABLE } from "../runtimes/table.ts";
import { type Tenant, tenantLayout } from "../tenants/layout.ts";
import { canonicalJson, containerSpec, networkSpec, type SpecOptions } from "./spec.ts";

const id = "tnt_abcdefghijklmnopqrstuvwxyz";
const layout = tenantLayout({
  tenantId: id,
  uid: 200_007,
  slot: 3,
  pool: "10.213.0.0/16",
  stateDir: "/var/lib/chelar",
  runDir: "/run/chelar",
});
const tenant: Tenant = {
  layout,
  spec: {
    id,
    slug: "ada",
    hostname: "ada.agents.example",
    origin: "https://ada.agents.example",
    ownerId: "usr_1",
    runtime: "echo",
    limits: { memoryMiB: 128, cpuMillis: 500, pids: 32, diskMiB: 64, tmpMiB: 16, shmMiB: 8, requestsPerMinute: 600 },
  },
};
const options: SpecOptions = {
  hostId: "hst_1",
  image: "chelar/echo:1",
  resolvers: ["9.9.9.9"],
  busyboxPath: "/bin/busybox",
  kernel: { cgroupVersion: "1", ipv6: true },
};
const spec = (restarts = 0, changes: Partial<SpecOptions> = {}) =>
  containerSpec(tenant, RUNTIME_TABLE.echo, restarts, { ...options, ...changes });

describe("the container's plan", () => {
  it("is hardened in every respect", () => {
    const { HostConfig, User, Hostname, Healthcheck } = spec().body;
    expect({ User, Hostname, Healthcheck }).toEqual({
      User: "200007:200007",
      Hostname: "agent-abcdefghijkl",
      Healthcheck: { Test: ["NONE"] },
    });
    expect(HostConfig).toEqual({
      Privileged: false,
      CapDrop: ["ALL"],
      SecurityOpt: ["no-new-privileges"],
      ReadonlyRootfs: true,
      Init: true,
      IpcMode: "private",
      CgroupnsMode: "private",
      PidsLimit: 32,
      Memory: 128 * 2 ** 20,
      MemorySwap: 128 * 2 ** 20,
      MemorySwappiness: 0,
      OomScoreAdj: 500,
      NanoCpus: 500_000_000,
      ShmSize: 8 * 2 ** 20,
      Tmpfs: { "/tmp": "rw,nosuid,nodev,noexec,size=16m,uid=200007,gid=200007,mode=0700" },
      Ulimits: [
        { Name: "nofile", Soft: 16_384, Hard: 16_384 },
        { Name: "core", Soft: 0, Hard: 0 },
      ],
      LogConfig: { Type: "json-file", Config: { "max-size": "5m", "max-file": "2" } },
      RestartPolicy: { Name: "no", MaximumRetryCount: 0 },
      AutoRemove: false,
      Devices: [],
      PortBindings: {},
      PublishAllPorts: false,
      NetworkMode: "chl3",
      Dns: ["9.9.9.9"],
      DnsSearch: ["."],
      Sysctls: { "net.ipv6.conf.all.disable_ipv6": "1", "net.ipv6.conf.default.disable_ipv6": "1" },
      Mounts: [
        ["/var/lib/chelar/mounts/tnt_abcdefghijklmnopqrstuvwxyz", "/data", false],
        ["/var/lib/chelar/config/tnt_abcdefghijklmnopqrstuvwxyz", "/chelar/config", true],
        ["/run/chelar/env/tnt_abcdefghijklmnopqrstuvwxyz", "/chelar/env", true],
        ["/bin/busybox", "/chelar/busybox", true],
      ].map(([Source, Target, ReadOnly]) => ({
        Type: "bind",
        Source,
        Target,
        ReadOnly,
        BindOptions: { Propagation: "rprivate", NonRecursive: true },
      })),
    });
  });

  it("has the only writable mount at /data, for every runtime", () => {
    for (const runtime of RUNTIMES) {
      const { Mounts } = containerSpec(tenant, RUNTIME_TABLE[runtime], 0, options).body.HostConfig;
      expect(Mounts.filter(({ ReadOnly }) => !ReadOnly).map(({ Target }) => Target)).toEqual(["/data"]);
    }
  });

  it("reads the environment from memory and runs the runtime by arguments, not by a shell's text", () => {
    const { Entrypoint, Cmd } = spec().body;
    expect(Entrypoint).toEqual([
      "/chelar/busybox",
      "sh",
      "-c",
      'set -a; . /chelar/env/env; set +a; exec "$@"',
      "chelar",
    ]);
    expect(Cmd).toEqual(["/usr/local/bin/node", "/app/server.mjs"]);
  });

  it("leaves out what the kernel does not know, since the engine would refuse all of it", () => {
    const { HostConfig } = spec(0, { kernel: { cgroupVersion: "2", ipv6: false } }).body;
    expect(HostConfig).not.toHaveProperty("MemorySwappiness");
    expect(HostConfig).not.toHaveProperty("Sysctls");
  });

  it("has one hash per meaning: same inputs same hash, anything else another", () => {
    const hashes = [
      spec().planHash,
      spec(1).planHash,
      spec(0, { image: "chelar/echo:2" }).planHash,
      spec(0, { resolvers: ["1.1.1.1"] }).planHash,
      spec(0, { hostId: "hst_2" }).planHash,
    ];
    expect(new Set(hashes).size).toBe(hashes.length);
    expect(spec().planHash).toBe(spec().planHash);
    expect(spec().body.Labels).toEqual({
      "dev.chelar.host": "hst_1",
      "dev.chelar.tenant": id,
      "dev.chelar.restarts": "0",
      "dev.chelar.plan": spec().planHash,
      "dev.chelar.config": expect.stringMatching(/^[A-Za-z0-9_-]{43}$/),
    });
  });
});

describe("the network's plan", () => {
  it("is a bridge of its own without IPv6 and without traffic between its members", () => {
    expect(networkSpec(layout, "hst_1")).toMatchObject({
      Name: "chl3",
      Driver: "bridge",
      EnableIPv6: false,
      Internal: false,
      IPAM: { Config: [{ Subnet: "10.213.0.48/28", Gateway: "10.213.0.49" }] },
      Options: { "com.docker.network.bridge.name": "chl3", "com.docker.network.bridge.enable_icc": "false" },
    });
  });
});

describe("canonicalJson", () => {
  it("does not see the order of keys, but every value", () => {
    expect(canonicalJson({ b: [1, { d: 1, c: null }], a: undefined })).toBe('{"b":[1,{"c":null,"d":1}]}');
    expect(canonicalJson({ x: 1, y: 2 })).toBe(canonicalJson({ y: 2, x: 1 }));
    expect(canonicalJson([1, 2])).not.toBe(canonicalJson([2, 1]));
  });
});
