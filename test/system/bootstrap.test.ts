import { execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { STEP_IDS } from "../../host-agent/bootstrap/index.ts";
import { Account, expectStatus } from "../../stack/client.ts";
import { type Edge, startEdge } from "../../stack/edge.ts";
import { bringSecrets, type EdgeSecrets } from "../../stack/secrets.ts";
import { ROOT } from "../../stack/worker.ts";
import { type BareServer, createBareServer, internet } from "../hosts/index.ts";
import { type HetznerStandIn, startHetznerStandIn } from "../stand-ins/hetzner.ts";

const execute = promisify(execFile);
const EDGE_PORT = 8799;
const EDGE = `http://${internet.address}:${EDGE_PORT}`;

let dir: string;
let secrets: EdgeSecrets;
let edge: Edge;
let cloud: HetznerStandIn;
let server: BareServer;
let fingerprint: string;
let owner: Account;
let tenantId: string;

beforeAll(async () => {
  dir = await mkdtemp("/var/tmp/chl-bootstrap-");
  for (const name of ["key", "stranger"]) {
    await execute("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", `${dir}/${name}`]);
  }
  secrets = await bringSecrets(dir);
  cloud = await startHetznerStandIn("cloud-token", [7, 8]);
  [edge, server] = await Promise.all([
    startEdge({
      dir,
      runDir: `${dir}/run`,
      listen: "0.0.0.0",
      port: EDGE_PORT,
      tenantOrigin: "http://*.agents.localhost",
      secrets,
      extra: { AUTH_RATE_LIMIT: "off" },
    }),
    createBareServer((await readFile(`${dir}/key.pub`, "utf8")).trim()),
  ]);
  fingerprint = await server.fingerprint();
  cloud.addresses.set(7, server.address);
});

afterAll(async () => {
  await server?.destroy();
  await cloud?.close();
  await edge?.stop();
  await rm(dir, { recursive: true, force: true });
});

interface Run {
  code: number | null;
  text: string;
  /** Steps as they ended: `packages done`, `packages as it should be`. */
  steps: string[];
}

/** The command as an operator types it, in a process of its own. `until` kills it soon after that step has begun. */
async function host(
  args: readonly string[],
  { until, ...more }: { until?: string; SSH_AUTH_SOCK?: string } = {},
): Promise<Run> {
  const child = spawn(
    process.execPath,
    ["--disable-warning=ExperimentalWarning", `${ROOT}/stack/cli.ts`, "host", ...args],
    {
      cwd: ROOT,
      env: {
        ...process.env,
        ...{ CHELAR_OPERATOR_TOKEN: secrets.OPERATOR_TOKEN, SSH_AUTH_SOCK: "", TMPDIR: dir },
        ...{ HCLOUD_TOKEN: "cloud-token", HCLOUD_ENDPOINT: cloud.endpoint },
        ...more,
      },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on("line", (line) => {
      lines.push(line);
      if (until && line.includes(` ${until} `) && line.endsWith("…")) setTimeout(() => child.kill("SIGKILL"), 300);
    });
  }
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  const steps = lines.flatMap((line) => {
    const [, step = "", end = ""] = /^ ?\d+\/\d+ (\S+)\s+(done|as it should be)/.exec(line) ?? [];
    return step ? [`${step} ${end}`] : [];
  });
  return { code, text: lines.join("\n"), steps };
}

const add = (...more: string[]) => [
  ...["add", `root@${server.address}`, "--dir", dir, "--edge", EDGE, "--name", "bare", "--resolver", "9.9.9.9"],
  ...["--prebuild", "echo", "--admin-network", `${internet.address}/32`],
  ...["--cloud", "hetzner", "--cloud-server", "7", ...more],
];
const withKey = (...more: string[]) => add("--key", `${dir}/key`, "--fingerprint", fingerprint, ...more);

/** Everything on the server's disk that a bootstrap could have changed: names, sizes, times of all files. */
async function traces(): Promise<string> {
  const leave = ["/proc", "/sys", "/run", "/tmp", "/var/log", "/dev", "/var/lib/systemd", "/root/.bash_history"];
  const prune = leave.flatMap((path, index) => [...(index ? ["-o"] : []), "-path", `${server.root}${path}`]);
  const { stdout } = await execute(
    "find",
    [server.root, "-xdev", "(", ...prune, ")", "-prune", "-o", "-type", "f", "-printf", "%P %s %T@ %m\n"],
    { maxBuffer: 64 * 2 ** 20 },
  );
  return stdout.split("\n").sort().join("\n");
}

async function refusedWithoutTrace(args: readonly string[]): Promise<string> {
  const before = await traces();
  const { code, text } = await host(args);
  expect(code).toBe(1);
  expect(text).not.toContain("    at "); // a sentence, not a stack
  expect(await traces()).toBe(before);
  return text;
}

describe("a server that cannot become a host is told why, and nothing on it is changed", () => {
  test("a host key that nobody confirmed", async () => {
    const text = await refusedWithoutTrace(add("--key", `${dir}/key`));
    expect(text).toContain(`shows the host key ${fingerprint}, which nobody has confirmed`);
  });

  test("a host key other than the given one", async () => {
    const other = `SHA256:${"A".repeat(43)}`;
    const text = await refusedWithoutTrace(add("--key", `${dir}/key`, "--fingerprint", other));
    expect(text).toContain(fingerprint);
    expect(text).toContain(other);
  });

  test("an SSH key that the server does not know", async () => {
    const text = await refusedWithoutTrace(add("--key", `${dir}/stranger`, "--fingerprint", fingerprint));
    expect(text).toContain("refuses to let root in");
  });

  test("an address where nobody is", async () => {
    const args = withKey().map((it) => (it.startsWith("root@") ? "root@198.51.100.250" : it));
    expect(await refusedWithoutTrace(args)).toContain("198.51.100.250:22 cannot be reached over SSH");
  });

  test("no Debian, a full disk and a taken port: all of it in one answer", async () => {
    const osRelease = await readFile(`${server.root}/etc/os-release`, "utf8");
    await server.console(
      "sh",
      "-c",
      "rm /etc/os-release; printf 'ID=ubuntu\\nVERSION_ID=24.04\\nPRETTY_NAME=Ubuntu\\n' >/etc/os-release",
    );
    await server.console("mkdir", "-p", "/var/lib/docker");
    await server.console("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", "/var/lib/docker");
    await server.console("systemd-run", "--unit=squatter", "--socket-property=ListenStream=80", "cat");
    const text = await refusedWithoutTrace(withKey());
    expect(text).toContain("it runs Ubuntu; Debian 12 or newer is accepted");
    expect(text).toContain("0.1 GiB are free under /var/lib/docker; 8.0 GiB are needed");
    expect(text).toContain("something listens on TCP port 80");
    await server.console("systemctl", "stop", "squatter.socket");
    await server.console("umount", "/var/lib/docker");
    await server.console("rmdir", "/var/lib/docker");
    await server.console("sh", "-c", "rm /etc/os-release; ln -s ../usr/lib/os-release /etc/os-release");
    expect(await readFile(`${server.root}/etc/os-release`, "utf8")).toBe(osRelease);
  });

  test("an edge that the server cannot reach, and an operator token that is none", async () => {
    const deaf = await refusedWithoutTrace(withKey().map((it) => (it === EDGE ? `http://${internet.address}:9` : it)));
    expect(deaf).toContain(`the edge does not answer at http://${internet.address}:9`);
    const { OPERATOR_TOKEN } = secrets;
    secrets.OPERATOR_TOKEN = "x".repeat(40);
    expect(await refusedWithoutTrace(withKey())).toContain("does not accept this operator token");
    secrets.OPERATOR_TOKEN = OPERATOR_TOKEN;
  });

  test("a server at the provider that is somebody else's", async () => {
    const text = await refusedWithoutTrace(withKey("--cloud-server", "8"));
    expect(text).toContain(`wrong_server: server 8 is at 203.0.113.8, not at ${server.address}`);
    expect(cloud.writes).toEqual([]);
  });
});

describe("from SSH to an enrolled host", () => {
  test("cut off at one step after another, the same command completes it in the end", async () => {
    const cuts = ["packages", "docker", "runtime", "configuration", "enrolment", "walls", "services"];
    for (const cut of cuts) {
      const { code } = await host(withKey(), { until: cut });
      expect(code, `killed at ${cut}`).toBe(null);
    }
    const { code, text, steps } = await host(withKey());
    expect(text).toContain("is enrolled as hst_");
    expect(code).toBe(0);
    expect(steps.map((step) => step.split(" ")[0])).toEqual(["look", ...STEP_IDS, "posture"]);
    expect(text).toMatch(/^posture held: \d+ of \d+ attacks held, 0 breached, 0 not proven/m);
    expect((await listed()).map(({ name, state }) => [name, state])).toEqual([["bare", "enrolled"]]);
    expect([...(cloud.servers.get(7) ?? [])]).toEqual([...cloud.firewalls.keys()]);
    expect(await server.console("cat", "/etc/modprobe.d/chelar.conf")).toContain("install algif_aead /bin/false");
  });

  test("run twice at once with the key in an ssh-agent, one finds all as it should be and the other is told so", async () => {
    const socket = `${dir}/ssh-agent`;
    const agent = spawn("ssh-agent", ["-D", "-a", socket], { stdio: "ignore" });
    await expect.poll(() => existsSync(socket)).toBe(true);
    await execute("ssh-add", ["-q", `${dir}/key`], { env: { ...process.env, SSH_AUTH_SOCK: socket } });
    const both = await Promise.all([1, 2].map(() => host(add(), { SSH_AUTH_SOCK: socket })));
    agent.kill();
    const [done, refused] = both.toSorted((one, other) => (one.code ?? 9) - (other.code ?? 9)) as [Run, Run];
    expect(done.code, done.text).toBe(0);
    expect(done.steps.slice(1, -1)).toEqual(STEP_IDS.map((id) => `${id} as it should be`));
    expect(refused.code).toBe(1);
    expect(refused.text).toContain("another `host add` is at work");
  });

  test("the one-time token is in no file, journal or command line of the server", async () => {
    const { stdout } = await execute("grep", [
      "-rlF",
      "chelar-enrol.",
      `${server.root}/etc`,
      `${server.root}/var`,
    ]).catch((error: { stdout: string }) => error);
    expect(stdout).toBe("");
  });

  test("an agent of a person runs there behind UFW and Caddy, after a reboot too", async () => {
    owner = new Account(`http://localhost:${EDGE_PORT}`, (name) =>
      name.endsWith(".agents.localhost") ? server.address : null,
    );
    await owner.signUp({ email: "ada@example.com", password: "correct horse battery", name: "Ada" });
    const tenant = expectStatus(
      await owner.api("/api/v1/tenants", { body: { name: "first", runtime: "echo" } }),
      201,
      202,
    ).json<{ id: string; url: string }>();
    tenantId = tenant.id;
    await untilRuns(tenant.id);
    const visit = () => owner.client.visit(`${tenant.url}/`);
    expect(expectStatus(await visit(), 200).text).toMatch(/x-chelar-user/i);
    expect(await server.console("ufw", "status")).toContain("Status: active");

    await server.reboot();
    await expect.poll(async () => (await visit().catch(() => null))?.status, { timeout: 60_000 }).toBe(200);
    expect(await server.console("ufw", "status")).toContain("Status: active");
  });
});

async function listed(): Promise<{ name: string; state: string }[]> {
  const { text } = await host(["list", "--json", "--dir", dir, "--edge", EDGE]);
  return (JSON.parse(text) as { hosts: { name: string; state: string }[] }).hosts;
}

async function untilRuns(id: string): Promise<void> {
  let failure = "";
  await owner.client.events(`${owner.dashboard}/api/v1/tenants/${id}/events`, ({ event, data }) => {
    if (event !== "state") return false;
    const body = JSON.parse(data) as { state: string; failure?: string };
    failure = body.failure ?? "";
    return body.state === "running" || body.state === "failed";
  });
  const { state } = expectStatus(await owner.api(`/api/v1/tenants/${id}`), 200).json<{ state: string }>();
  expect(state, failure).toBe("running");
}

describe("the same server, later", () => {
  test("a host key that changed is refused with both keys named, even when the operator has pinned none by hand", async () => {
    const before = fingerprint;
    await server.changeHostKey();
    const { code, text } = await host(add("--key", `${dir}/key`));
    expect(code).toBe(1);
    expect(text).toContain(before);
    expect(text).toContain(await server.fingerprint());
    const pins = JSON.parse(await readFile(`${dir}/known-hosts.json`, "utf8"));
    expect(pins).toEqual({ [`${server.address}:22`]: before });
    await writeFile(`${dir}/known-hosts.json`, "{}");
    fingerprint = await server.fingerprint();
  });

  test("it drains, is not removed while an agent is there, and is removed when it is empty", async () => {
    const run = (...args: string[]) => host([...args, "--dir", dir, "--edge", EDGE]);
    expect((await run("drain", "bare")).text).toContain("bare is draining, with 1 agents");
    const refused = await run("remove", "bare");
    expect([refused.code, refused.text]).toEqual([1, expect.stringContaining("host_not_empty")]);
    expect((await run("show", "bare")).text).toContain("draining");
    expect((await run("show", "nobody")).text).toContain("no host is called");

    await owner.api(`/api/v1/tenants/${tenantId}`, { method: "DELETE" });
    await expect.poll(async () => (await run("remove", "bare")).code, { timeout: 60_000, interval: 1_000 }).toBe(0);
    expect((await run("list")).text).toContain("No host is enrolled.");
  });

  test("removed, it can be taken in again under another host key, as a new host, its walls put right", async () => {
    await server.console("rm", "/etc/modprobe.d/chelar.conf");
    cloud.servers.get(7)?.clear();
    const { text, code, steps } = await host(withKey());
    expect(steps).toEqual(expect.arrayContaining(["kernel done", "walls done"]));
    expect(cloud.servers.get(7)?.size).toBe(1);
    expect(text).toContain("is enrolled as hst_");
    expect(code).toBe(0);
    expect((await listed()).map(({ state }) => state)).toEqual(["enrolled"]);
  });
});
