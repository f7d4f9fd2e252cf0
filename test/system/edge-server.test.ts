import { execFile } from "node:child_process";
import { cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { freshBindings } from "../../stack/deploy/bindings.ts";
import { makeServerTree } from "../../stack/deploy/server.ts";
import { buildWorker } from "../../stack/worker.ts";
import { type BareServer, createBareServer } from "../hosts/index.ts";

const PORT = 8787;
const HOME = "/opt/chelar-edge";
let dir: string;
let server: BareServer;

/** What `npm run deploy -- --server` writes, on a Debian with its own systemd, by the commands of docs/production.md. */
beforeAll(async () => {
  dir = await mkdtemp("/var/tmp/chl-edge-server-");
  await promisify(execFile)("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "key", "-f", `${dir}/key`]);
  const bindings = {
    ...(await freshBindings({ dashboard: "https://chelar.example", tenants: "https://*.chelar-agents.example" })),
    DATABASE_URL: "http://127.0.0.1:8900",
    DATABASE_AUTH_TOKEN: "nothing-listens-there",
    MAIL: JSON.stringify({ driver: "resend", key: "re_0123456789", from: "Chelar <hello@chelar.example>" }),
  };
  const making = buildWorker(`${dir}/bundle`);
  [server] = await Promise.all([createBareServer((await readFile(`${dir}/key.pub`, "utf8")).trim()), making]);
  await makeServerTree({ dir: `${dir}/tree`, bundle: await making, bindings, port: PORT });
  await cp(`${dir}/tree`, `${server.root}${HOME}`, { recursive: true });
  // What ca-certificates brings: without any, workerd does not start.
  await cp("/etc/ssl/certs", `${server.root}/etc/ssl/certs`, { recursive: true, dereference: true });
  const units = ["chelar-edge.service", "chelar-edge-cron.service", "chelar-edge-cron.timer"];
  await server.console("systemctl", "link", ...units.map((unit) => `${HOME}/systemd/${unit}`));
  await server.console("systemctl", "enable", "--now", "chelar-edge.service", "chelar-edge-cron.timer");
});

afterAll(async () => {
  await server?.destroy();
  await rm(dir, { recursive: true, force: true });
});

const show = async (...properties: string[]) =>
  server.console("systemctl", "show", "chelar-edge.service", ...properties.map((name) => `--property=${name}`));

/** Asked from inside, since it listens on loopback only; the server has no curl yet. */
const get = (path: string) =>
  server.console(
    "bash",
    "-c",
    `for i in $(seq 200); do exec 3<>/dev/tcp/127.0.0.1/${PORT} && break; sleep .1; done 2>/dev/null
     printf 'GET %s HTTP/1.1\\r\\nHost: chelar.example\\r\\nConnection: close\\r\\n\\r\\n' "$0" >&3; cat <&3`,
    path,
  );

describe("the edge under systemd", () => {
  test("serves its pages, started by the unit alone", async () => {
    expect(await get("/healthz")).toContain("200 OK");
    expect(await get("/")).toContain("Your AI agent, inside five walls");
    expect(await show("ActiveState")).toContain("ActiveState=active");
    expect(await server.console("systemctl", "is-active", "chelar-edge-cron.timer")).toContain("active");
  });

  test("runs as nobody who is anybody, can read no secret of its own file, and can write nothing", async () => {
    const pid = /MainPID=(\d+)/.exec(await show("MainPID"))?.[1] as string;
    const status = await server.console("cat", `/proc/${pid}/status`);
    expect(status).toMatch(/^Uid:\s+6\d{4}\s/m);
    expect(status).toMatch(/^CapEff:\s+0+$/m);
    expect(status).toMatch(/^NoNewPrivs:\s+1$/m);
    const uid = /^Uid:\s+(\d+)/m.exec(status)?.[1] as string;
    const as = (...command: string[]) => server.console("setpriv", `--reuid=${uid}`, "--clear-groups", ...command);
    await expect(as("cat", `${HOME}/edge.env`)).rejects.toThrow(/Permission denied/);
    const inside = ["nsenter", `--target=${pid}`, "--mount", "--"];
    await expect(server.console(...(inside as [string]), "touch", `${HOME}/x`)).rejects.toThrow(
      /Read-only file system/,
    );
  });

  test("comes back by itself when it is killed", async () => {
    const before = (await show("MainPID")).trim();
    await server.console("systemctl", "kill", "--signal=SIGKILL", "chelar-edge.service");
    let now = before;
    while (now === before || now === "MainPID=0") now = (await show("MainPID")).trim();
    expect(await get("/healthz")).toContain("200 OK");
  });
});
