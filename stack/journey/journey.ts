import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import type { RuntimeName } from "../../schema/protocol/index.ts";
import { Account, expectStatus, type Resolve } from "../client.ts";
import { openBrowser, visitSignedIn } from "./browser.ts";
import { Inside, mounted } from "./inside.ts";
import { insist, type Recorder } from "./recorder.ts";

/** The stack that the journey drives, wherever its host runs. */
export interface Target {
  dashboard: string;
  dockerSocket: string;
  /** State directory of the host agent. */
  hostDir: string;
  resolve: Resolve;
  /** An address of the host itself that a container must not reach, and a port that answers there. */
  hostAddress: string;
  ingressPort: number;
  /** Whether an address answers TCP when asked from the host itself: the counter-proof of a blocked packet. */
  answersFromHost(address: string, port: number): Promise<boolean>;
  runtime: RuntimeName;
}

interface Tenant {
  id: string;
  name: string;
  url: string;
  state: string;
  failure: string | null;
}

interface Made {
  account: Account;
  tenant: Tenant;
  /** Name of its network and bridge, once it has one. */
  network?: string;
}

const METADATA = ["169.254.169.254", "100.100.100.200", "168.63.129.16"];

/** The product's main job as a client sees it. Throws when a step fails that the rest needs. */
export async function journey(target: Target, recorder: Recorder): Promise<void> {
  const tag = randomBytes(4).toString("hex");
  const person = (who: string) => ({
    name: who,
    email: `${who}-${tag}@example.test`,
    password: `${tag}-correct-horse`,
  });
  const owner = new Account(target.dashboard, target.resolve);
  const stranger = new Account(target.dashboard, target.resolve);
  const made: Made[] = [];

  try {
    await recorder.must("a person signs up", async () => {
      await owner.signUp(person("owner"));
      await stranger.signUp(person("stranger"));
      return "two accounts";
    });

    let mine!: Tenant;
    await recorder.must(`the person creates an agent (${target.runtime}), and it runs`, async () => {
      mine = await create(owner, `mine-${tag}`, target.runtime);
      const entry: Made = { account: owner, tenant: mine };
      made.push(entry);
      const steps = await untilRunning(owner, mine.id);
      entry.network = (await new Inside(target.dockerSocket, mine.id).view()).network;
      insist(steps.length > 0, "no progress event was streamed");
      return steps.join(", ");
    });
    let theirs!: Tenant;
    await recorder.must("another person's agent runs on the same host", async () => {
      theirs = await create(stranger, `theirs-${tag}`, "echo");
      const entry: Made = { account: stranger, tenant: theirs };
      made.push(entry);
      await untilRunning(stranger, theirs.id);
      entry.network = (await new Inside(target.dockerSocket, theirs.id).view()).network;
      return theirs.url;
    });

    await door(target, recorder, owner, stranger, mine);
    await walls(target, recorder, mine, theirs);

    await recorder.step("signing out closes the door within 5 s", async () => {
      await owner.signOut();
      const started = Date.now();
      for (;;) {
        const answer = await owner.client.ask(`${mine.url}/`, { headers: { accept: "text/html" } });
        if (answer.status !== 200) return `${answer.status} after ${Date.now() - started} ms`;
        insist(Date.now() - started < 5_000, "still open after 5 s");
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    });
    await recorder.must("the person signs in again", async () => {
      await owner.signIn();
      return "signed in";
    });
  } finally {
    await removeAll(target, recorder, made);
  }
}

async function create(account: Account, name: string, runtime: RuntimeName): Promise<Tenant> {
  return expectStatus(await account.api("/api/v1/tenants", { body: { name, runtime } }), 201, 202).json<Tenant>();
}

async function read(account: Account, id: string): Promise<Tenant> {
  return expectStatus(await account.api(`/api/v1/tenants/${id}`), 200).json<Tenant>();
}

/** Follows the progress events until the agent runs; returns the steps that were told as done, with their times. */
async function untilRunning(account: Account, id: string): Promise<string[]> {
  const steps: string[] = [];
  let last = "";
  await account.client.events(
    `${account.dashboard}/api/v1/tenants/${id}/events`,
    ({ event, data }) => {
      if (event !== "step" && event !== "state") return false;
      const body = JSON.parse(data) as {
        step?: string;
        status?: string;
        tookMs?: number | null;
        state?: string;
        failure?: string;
      };
      if (event === "step" && body.status === "done") steps.push(`${body.step} ${body.tookMs ?? 0} ms`);
      if (event !== "state") return false;
      last = `${body.state} ${body.failure ?? ""}`;
      return body.state === "running" || body.state === "failed";
    },
    1_200,
  );
  const { state, failure } = await read(account, id);
  insist(state === "running", `state is ${state}: ${failure ?? last}`);
  return steps;
}

async function door(
  target: Target,
  recorder: Recorder,
  owner: Account,
  stranger: Account,
  mine: Tenant,
): Promise<void> {
  await recorder.must("the owner gets in through the door", async () => {
    const page = expectStatus(await owner.client.visit(`${mine.url}/`), 200);
    expectStatus(await owner.client.visit(`${mine.url}/?with=a&query`), 200);
    if (target.runtime === "echo") {
      const seen = JSON.stringify(page.json<object>());
      insist(/x-chelar-user/i.test(seen), "the agent was not told who its visitor is");
      insist(!/chelar-door|__Host-chelar|better-auth/i.test(seen), "a credential of the owner reached the agent");
      return "200; identity arrived, credentials did not";
    }
    insist(/<html/i.test(page.text), "no page came");
    return `200, ${page.text.length} characters of the Control UI`;
  });
  const wsUrl = `${mine.url}/`.replace(/^http/, "ws");
  await recorder.step("the owner's WebSocket connects", async () => {
    const line = await owner.client.webSocket(wsUrl);
    insist(typeof line !== "number", `refused with ${String(line)}`);
    const first = await line.first;
    line.end();
    if (target.runtime === "openclaw")
      insist(/connect\.challenge/.test(first), `unexpected greeting: ${first.slice(0, 80)}`);
    return `first message: ${first.slice(0, 60)}`;
  });
  if (target.runtime === "openclaw") await inChromium(target, recorder, owner, stranger, mine);
  await recorder.step("a signed-in stranger does not get in", async () => {
    expectStatus(await stranger.client.visit(`${mine.url}/`), 403);
    const socket = await stranger.client.webSocket(wsUrl);
    insist(typeof socket === "number", "the stranger's WebSocket was accepted");
    expectStatus(await stranger.api(`/api/v1/tenants/${mine.id}`), 404);
    return `page 403, WebSocket ${socket}, API 404`;
  });
  await recorder.step("somebody without an account does not get in", async () => {
    const nobody = new Account(target.dashboard, target.resolve);
    const page = await nobody.client.ask(`${mine.url}/`, {
      headers: { accept: "text/html", "sec-fetch-mode": "navigate" },
    });
    const forged = await nobody.client.ask(`${mine.url}/`, {
      headers: { "x-chelar-user": "owner", "x-chelar-upstream": "127.0.0.1:1" },
    });
    insist(page.status === 302 && forged.status === 401, `page ${page.status}, forged identity ${forged.status}`);
    return "page 302 to sign-in, forged identity header 401";
  });
}

/** OpenClaw's Control UI is a page that talks over a WebSocket: only a real browser shows that it works. */
async function inChromium(
  target: Target,
  recorder: Recorder,
  owner: Account,
  stranger: Account,
  mine: Tenant,
): Promise<void> {
  const address = target.resolve(new URL(mine.url).hostname) ?? undefined;
  await recorder.step("in Chromium, the owner's Control UI opens and its WebSocket is let in", async () => {
    const browser = await openBrowser(address);
    try {
      const visit = await visitSignedIn(browser, owner, mine.url, /hello-ok/);
      insist(visit.status === 200, `the page answered ${visit.status}`);
      insist(
        visit.frames.some((frame) => frame.includes("hello-ok")),
        `frames: ${visit.frames.join(" | ").slice(0, 300)}`,
      );
      return `200, "${visit.title}", hello-ok after ${visit.frames.length} frames`;
    } finally {
      await browser.close();
    }
  });
  await recorder.step("in Chromium, a stranger is refused", async () => {
    const browser = await openBrowser(address);
    try {
      const visit = await visitSignedIn(browser, stranger, mine.url, null);
      insist(visit.status === 403 && visit.frames.length === 0, `the page answered ${visit.status}`);
      return `403, "${visit.title}"`;
    } finally {
      await browser.close();
    }
  });
}

async function walls(target: Target, recorder: Recorder, mine: Tenant, theirs: Tenant): Promise<void> {
  const inside = new Inside(target.dockerSocket, mine.id);
  const neighbour = new Inside(target.dockerSocket, theirs.id);
  let gateway = "";
  let neighbourAddress = "";
  await recorder.must("the container is hardened, as its kernel says", async () => {
    const [view, other] = [await inside.view(), await neighbour.view()];
    gateway = view.gateway;
    neighbourAddress = other.address;
    const { status, mounts, limits } = view;
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"])
      insist(/^0+$/.test(status[set] ?? "?"), `${set} ${status[set]}`);
    insist(
      status.NoNewPrivs === "1" && status.Seccomp === "2",
      `NoNewPrivs ${status.NoNewPrivs}, Seccomp ${status.Seccomp}`,
    );
    const uid = Number(status.Uid?.split(/\s+/)[0]);
    const otherUid = Number(other.status.Uid?.split(/\s+/)[0]);
    insist(uid >= 100_000 && uid !== otherUid, `UID ${uid}, the neighbour's ${otherUid}`);
    const options = (path: string) => mounts.findLast((mount) => mount.target === path)?.options ?? [];
    insist(options("/").includes("ro"), "the root is writable");
    for (const flag of ["nosuid", "nodev"]) insist(options("/data").includes(flag), `/data lacks ${flag}`);
    for (const flag of ["nosuid", "nodev", "noexec"]) insist(options("/tmp").includes(flag), `/tmp lacks ${flag}`);
    insist(
      limits.memory > 0 && limits.memorySwap === limits.memory && limits.pids > 0,
      `limits ${JSON.stringify(limits)}`,
    );
    insist(
      limits.ports === 0 && !limits.privileged && ["no", ""].includes(limits.restart),
      `exposed: ${JSON.stringify(limits)}`,
    );
    return `CapBnd 0, NoNewPrivs 1, Seccomp 2, root read-only, UID ${uid}, ${limits.memory / 2 ** 20} MiB, ${limits.pids} processes`;
  });

  await recorder.step("packets to a second agent do not pass", async () => {
    const port = 8080;
    insist(
      await target.answersFromHost(neighbourAddress, port),
      `nothing listens at ${neighbourAddress}:${port}: nothing would be proven`,
    );
    const tcp = await inside.tcp(neighbourAddress, port);
    insist(tcp !== "connected", `${neighbourAddress}:${port} answered`);
    return `TCP ${neighbourAddress}:${port} ${tcp}`;
  });
  await recorder.step("packets to the host do not pass", async () => {
    const seen: string[] = [];
    for (const address of [gateway, target.hostAddress]) {
      const tcp = await inside.tcp(address, target.ingressPort);
      insist(tcp !== "connected", `${address}:${target.ingressPort} answered`);
      seen.push(`TCP ${address}:${target.ingressPort} ${tcp}`);
    }
    return seen.join("; ");
  });
  await recorder.step("packets to cloud metadata do not pass", async () => {
    const seen = await Promise.all(METADATA.map(async (address) => `${address} ${await inside.tcp(address, 80)}`));
    insist(!seen.some((line) => line.endsWith("connected")), seen.join("; "));
    return seen.join("; ");
  });
}

async function removeAll(target: Target, recorder: Recorder, made: Made[]): Promise<void> {
  await recorder.step("deleting leaves nothing", async () => {
    for (const { account, tenant } of made) {
      if ((await account.api("/api/v1/tenants")).status === 401) await account.signIn();
      expectStatus(await account.api(`/api/v1/tenants/${tenant.id}`, { method: "DELETE" }), 200, 202);
    }
    for (const { account, tenant, network } of made) {
      const inside = new Inside(target.dockerSocket, tenant.id);
      const left = async () => [
        ...((await account.api(`/api/v1/tenants/${tenant.id}`)).status === 404 ? [] : ["the API still knows it"]),
        ...((await inside.docker("ps", "-aq", "--filter", `label=dev.chelar.tenant=${tenant.id}`)).trim()
          ? ["a container"]
          : []),
        ...(network && (await inside.docker("network", "ls", "--format", "{{.Name}}")).split("\n").includes(network)
          ? [`the network ${network}`]
          : []),
        ...["volumes", "mounts", "config"].filter((kind) => existsSync(`${target.hostDir}/${kind}/${tenant.id}`)),
        ...(mounted(`${target.hostDir}/mounts/${tenant.id}`) ? ["a mount"] : []),
        ...((await account.client.ask(`${tenant.url}/`)).status === 404 ? [] : ["the host name still answers"]),
      ];
      const deadline = Date.now() + 60_000;
      let remains = await left();
      while (remains.length > 0 && Date.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, 200));
        remains = await left();
      }
      insist(remains.length === 0, `left of ${tenant.name}: ${remains.join(", ")}`);
    }
    return "no container, network, volume, mount or configuration; the host name is 404";
  });
}
