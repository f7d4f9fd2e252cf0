import { execFile, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { migrate } from "../migrate.ts";
import { freePort, type RunningSqld, startSqld } from "../sqld.ts";
import { freshBindings, readBindings, writeBindings } from "./bindings.ts";
import { deployCommand } from "./index.ts";
import type { Bindings } from "./rules.ts";
import { makeServerTree } from "./server.ts";
import { environmentFile } from "./units.ts";

const run = promisify(execFile);
const dir = mkdtempSync(`${tmpdir()}/chelar-server-`);
const [home, runDir] = [`${dir}/tree`, `${dir}/run`];
const bindingsFile = `${dir}/production.json`;
let database: RunningSqld;
let bindings: Bindings;
let port: number;
let child: ReturnType<typeof spawn>;

/** As systemd would: the unit's own command, with the environment of its file and nothing else. */
async function startUnit(): Promise<void> {
  const unit = readFileSync(`${home}/systemd/chelar-edge.service`, "utf8");
  const [command = "", ...args] = (/^ExecStart=(.*)$/m.exec(unit)?.[1] ?? "").split(" ");
  const file = /^EnvironmentFile=(.*)$/m.exec(unit)?.[1] ?? "";
  // Its quoting is the shell's, as far as ours goes.
  const { stdout } = await run("env", ["-i", "bash", "-c", `set -a; . "$1"; exec env -0`, "bash", file]);
  const env = Object.fromEntries(
    stdout
      .split("\0")
      .filter(Boolean)
      .map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]),
  );
  for (const [name, value] of Object.entries(bindings)) expect(env[name], name).toBe(value);
  child = spawn(command, args, { cwd: home, env, stdio: ["ignore", "inherit", "inherit"] });
  while (
    !(await ask("/healthz").then(
      (answer) => answer.ok,
      () => false,
    ))
  ) {
    if (child.exitCode !== null) throw new Error(`workerd ended with ${child.exitCode}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const ask = (path: string, init: RequestInit = {}) =>
  fetch(`http://127.0.0.1:${port}${path}`, { redirect: "manual", ...init });

beforeAll(async () => {
  mkdirSync(runDir);
  database = await startSqld({ dir: `${dir}/sqld` });
  writeBindings(bindingsFile, {
    ...(await freshBindings({ dashboard: "https://chelar.example", tenants: "https://*.chelar-agents.example" })),
    DATABASE_URL: database.url,
    DATABASE_AUTH_TOKEN: database.authToken,
    MAIL: { driver: "resend", key: "re_0123456789", from: 'Chelar "$HOME" <hello@chelar.example>' },
  });
  bindings = readBindings(bindingsFile);
  await migrate(database.url, database.authToken);
  port = await freePort();
  // The very command first; then the same tree at a place where this test may run it.
  expect(await deployCommand(["--server", home, "--bindings", bindingsFile, "--port", String(port)])).toBe(0);
  await makeServerTree({ dir: home, bundle: `${home}/index.js`, bindings, port, home, runDir });
  await startUnit();
}, 120_000);

afterAll(async () => {
  child?.kill("SIGTERM");
  await database?.stop();
  rmSync(dir, { recursive: true, force: true });
});

describe("the same worker on a server of one's own", () => {
  it("has units that systemd accepts", async () => {
    const units = ["chelar-edge.service", "chelar-edge-cron.service", "chelar-edge-cron.timer"];
    const { stderr } = await run("systemd-analyze", ["verify", ...units.map((unit) => `${home}/systemd/${unit}`)]);
    expect(stderr.split("\n").filter((line) => line.includes("chelar"))).toEqual([]);
  });

  it("serves pages, the API and metrics as its production configuration says", async () => {
    const page = await ask("/");
    expect(page.status).toBe(200);
    expect(page.headers.get("strict-transport-security")).toContain("max-age");
    expect((await ask("/api/docs")).status).toBe(200);
    expect((await ask("/api/v1/me")).status).toBe(401);
    const metrics = await ask("/metrics", { headers: { authorization: `Bearer ${bindings.METRICS_TOKEN}` } });
    expect(await metrics.text()).toContain("chelar_people 0");
  });

  it("takes a person on, in the database beside it", async () => {
    const signedUp = await ask("/api/auth/sign-up/email", {
      method: "POST",
      headers: { "content-type": "application/json", origin: "https://chelar.example" },
      body: JSON.stringify({ name: "Ada", email: "ada@example.com", password: "correct horse battery" }),
    });
    expect(signedUp.status).toBe(200);
  });

  it("does the work of each minute when the timer's own command is run", async () => {
    const unit = readFileSync(`${home}/systemd/chelar-edge-cron.service`, "utf8");
    const [command = "", ...args] = (/^ExecStart=(.*)$/m.exec(unit)?.[1] ?? "").split(" ");
    expect((await run(command, args)).stdout).toBe("ok");
  });

  it("lets nobody have its secrets but who starts it", async () => {
    const { stdout } = await run("find", [home, "-name", "edge.env", "-perm", "600"]);
    expect(stdout.trim()).toBe(`${home}/edge.env`);
    for (const file of ["config.capnp", "Caddyfile", "systemd/chelar-edge.service", "index.js"]) {
      expect(readFileSync(`${home}/${file}`, "utf8"), file).not.toContain(bindings.AUTH_SECRET);
    }
  });

  it("carries any text in its environment, and refuses a line break", async () => {
    const odd = { A: "a \"b\" $HOME `id` \\ 'c' #d" };
    writeFileSync(`${dir}/odd.env`, environmentFile(odd));
    const { stdout } = await run("bash", ["-c", `set -a; . "$1"; printf %s "$A"`, "bash", `${dir}/odd.env`]);
    expect(stdout).toBe(odd.A);
    expect(() => environmentFile({ A: "a\nB=c" })).toThrow(/line break/);
  });

  it("believes the address that Caddy saw, and none that a visitor sent", async () => {
    const caddyfile = readFileSync(`${home}/Caddyfile`, "utf8");
    const seen: (string | undefined)[] = [];
    const { createServer } = await import("node:http");
    const behind = createServer((incoming, response) => {
      seen.push(incoming.headers["cf-connecting-ip"] as string, incoming.headers["cf-visitor"] as string | undefined);
      response.end("ok");
    });
    await new Promise<void>((resolve) => behind.listen(0, "127.0.0.1", resolve));
    const { port: behindPort } = behind.address() as { port: number };
    const front = await freePort();
    const config = caddyfile
      .replace("chelar.example {", `http://127.0.0.1:${front} {`)
      .replace(`127.0.0.1:${port}`, `127.0.0.1:${behindPort}`);
    writeFileSync(`${dir}/Caddyfile`, `{\n\tadmin off\n}\n${config}`);
    const caddy = spawn("caddy", ["run", "--adapter", "caddyfile", "--config", `${dir}/Caddyfile`], {
      stdio: "ignore",
      env: { ...process.env, HOME: dir },
    });
    try {
      const knock = () =>
        new Promise<void>((resolve, reject) => {
          const call = request(
            { host: "127.0.0.1", port: front, headers: { "CF-Connecting-IP": "6.6.6.6", "CF-Visitor": "x" } },
            (answer) => {
              answer.resume().once("end", resolve);
            },
          );
          call.once("error", reject).end();
        });
      while (
        !(await knock().then(
          () => true,
          () => false,
        ))
      )
        await new Promise((resolve) => setTimeout(resolve, 50));
      expect(seen).toEqual(["127.0.0.1", undefined]);
    } finally {
      caddy.kill("SIGTERM");
      behind.close();
    }
  });
});
