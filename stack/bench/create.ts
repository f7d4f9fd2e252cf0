import { randomBytes } from "node:crypto";
import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { type Account, expectStatus } from "../client.ts";
import { Inside } from "../journey/inside.ts";
import { findRunning, type Running } from "../running.ts";
import { milliseconds, summary, table } from "./figures.ts";
import { createAndWait, deleteAndWait, newPerson, pause } from "./tenants.ts";

const ROUNDS = 12;
/** Before either side's clock starts: what was cleaned up, and the host's spare network, are not on its time. */
const SETTLE_MS = 1_000;

/**
 * `create → ready` through the whole platform, beside a bare `docker run` of the same image with the same flags until
 * the same readiness answer; in turns, so that a drifting machine drifts for both. The bare side is handed what it
 * does not have to make: its network, its volume and its configuration lie ready before its clock starts.
 */
export async function benchCreate(json: boolean): Promise<number> {
  const running = findRunning();
  const tag = randomBytes(3).toString("hex");
  const account = await newPerson(running.dashboard, tag);

  const platform: number[] = [];
  const bare: number[] = [];
  for (let round = -1; round < ROUNDS; round++) {
    const one = await throughPlatform(account, running, `bench-${tag}-${round + 1}`);
    // The first round warms both sides up and is not counted.
    if (round < 0) continue;
    platform.push(one.platformMs);
    bare.push(one.bareMs);
    console.error(
      `round ${round + 1}/${ROUNDS}: platform ${milliseconds(one.platformMs)}, bare ${milliseconds(one.bareMs)}`,
    );
  }
  const [through, beside] = [summary(platform), summary(bare)];
  const allowedMs = 1.15 * beside.median + 150;
  const result = {
    platform: through,
    bare: beside,
    ratio: through.median / beside.median,
    allowedMs,
    within: through.median <= allowedMs,
  };
  if (json) console.log(JSON.stringify(result, null, 2));
  else {
    console.log(table({ "through the platform": through, "bare docker run": beside }));
    console.log(
      `ratio ${result.ratio.toFixed(2)}; allowed 1.15 × bare + 150 ms = ${milliseconds(allowedMs)}: ${result.within ? "within" : "OVER"}`,
    );
  }
  return result.within ? 0 : 1;
}

async function throughPlatform(account: Account, running: Running, name: string) {
  await pause(SETTLE_MS);
  const { id, milliseconds: platformMs } = await createAndWait(account, name);
  try {
    return { platformMs, bareMs: await bareRun(account, id, new Inside(running.dockerSocket, id), name) };
  } finally {
    await deleteAndWait({ account, id });
  }
}

/** Copies the flags of the platform's own container, so that "the same flags" is what the engine was really told. */
async function bareRun(account: Account, id: string, model: Inside, name: string): Promise<number> {
  const [{ Config: config, HostConfig: host, NetworkSettings: network }] = JSON.parse(
    await model.docker("inspect", model.name),
  );
  const work = `/run/chelar-bench-${name}`;
  const bareName = `bare-${name}`;
  const [address] = Object.values(
    network.Networks as Record<string, { IPAddress: string; Gateway: string; IPPrefixLen: number }>,
  );
  if (!address) throw new Error(`${model.name} has no network`);
  const mounts: { Source: string; Target: string; ReadOnly: boolean }[] = host.Mounts;
  for (const { Source, Target } of mounts.filter(({ Target }) => Target !== "/chelar/busybox")) {
    mkdirSync(`${work}${Target}`, { recursive: true });
    cpSync(Source, `${work}${Target}`, { recursive: true, preserveTimestamps: true });
  }
  writeFileSync(`${work}/chelar/env/env`, "", { mode: 0o444 });
  // By its owner's word, so that the host agent does not start it again beside the bare one; its network stays.
  expectStatus(await account.api(`/api/v1/tenants/${id}/stop`, { method: "POST" }), 200, 202);
  await untilState(account, id, "stopped");
  const args = [
    "run",
    "-d",
    "--name",
    bareName,
    "--hostname",
    config.Hostname,
    "--user",
    config.User,
    "--workdir",
    config.WorkingDir,
    "--init",
    "--read-only",
    "--cap-drop",
    "ALL",
    "--security-opt",
    "no-new-privileges",
    "--ipc",
    "private",
    "--pids-limit",
    String(host.PidsLimit),
    "--memory",
    String(host.Memory),
    "--memory-swap",
    String(host.MemorySwap),
    "--cpus",
    String(host.NanoCpus / 1e9),
    "--shm-size",
    String(host.ShmSize),
    "--oom-score-adj",
    String(host.OomScoreAdj),
    ...Object.entries(host.Tmpfs as Record<string, string>).flatMap(([path, options]) => [
      "--tmpfs",
      `${path}:${options}`,
    ]),
    ...(host.Ulimits as { Name: string; Soft: number; Hard: number }[]).flatMap(({ Name, Soft, Hard }) => [
      "--ulimit",
      `${Name}=${Soft}:${Hard}`,
    ]),
    ...Object.entries((host.Sysctls ?? {}) as Record<string, string>).flatMap(([key, value]) => [
      "--sysctl",
      `${key}=${value}`,
    ]),
    ...(host.Dns as string[]).flatMap((resolver) => ["--dns", resolver]),
    ...(config.Env as string[]).flatMap((pair) => ["--env", pair]),
    "--log-opt",
    "max-size=5m",
    "--log-opt",
    "max-file=2",
    "--network",
    host.NetworkMode,
    "--no-healthcheck",
    ...mounts.flatMap(({ Source, Target, ReadOnly }) => [
      "--mount",
      `type=bind,source=${Target === "/chelar/busybox" ? Source : work + Target},target=${Target}${ReadOnly ? ",readonly" : ""}`,
    ]),
    "--entrypoint",
    config.Entrypoint[0],
    config.Image,
    ...config.Entrypoint.slice(1),
    ...config.Cmd,
  ] as string[];
  await pause(SETTLE_MS);
  try {
    const started = performance.now();
    await model.docker(...args);
    const ip = (
      await model.docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", bareName)
    ).trim();
    while (!(await healthy(ip))) await pause(10);
    return performance.now() - started;
  } finally {
    await model.docker("rm", "-f", bareName);
    rmSync(work, { recursive: true, force: true });
  }
}

function healthy(host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const call = request({ host, port: 8080, path: "/healthz", timeout: 500 }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    call.once("error", () => resolve(false));
    call.once("timeout", () => call.destroy());
    call.end();
  });
}

async function untilState(account: Account, id: string, wanted: string): Promise<void> {
  for (;;) {
    const { state } = expectStatus(await account.api(`/api/v1/tenants/${id}`), 200).json<{ state: string }>();
    if (state === wanted) return;
    if (state === "failed") throw new Error(`${id} failed`);
    await pause(50);
  }
}
