import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { readCompatibility, WORKERD_FILES, workerdBinary, workerdConfig } from "../worker.ts";
import { type Bindings, isOnThisMachine as isBeside } from "./rules.ts";
import { CRON_TIMER, caddyfile, cronService, edgeService, environmentFile, HOME, RUN_DIR } from "./units.ts";

/**
 * What one server needs to serve the worker without Cloudflare: workerd, the bundle, its configuration, systemd's units,
 * the environment with the secrets, and a Caddyfile. To be copied to /opt/chelar-edge there.
 */
export async function makeServerTree({
  dir,
  bundle,
  bindings,
  port,
  home = HOME,
  runDir = RUN_DIR,
}: {
  dir: string;
  bundle: string;
  bindings: Bindings;
  port: number;
  /** Where it will lie, and where its socket for the clock is. */
  home?: string;
  runDir?: string;
}): Promise<void> {
  mkdirSync(`${dir}/systemd`, { recursive: true, mode: 0o755 });
  copyFileSync(workerdBinary(), `${dir}/workerd`);
  copyFileSync(bundle, `${dir}/index.js`);
  const write = (name: string, text: string, mode = 0o644) => writeFileSync(`${dir}/${name}`, text, { mode });
  for (const [name, text] of Object.entries(WORKERD_FILES)) write(name, text);
  // Nothing that it calls is in a private network, but for a database beside it.
  const networks = isBeside(bindings.DATABASE_URL ?? "") ? (["public", "local"] as const) : (["public"] as const);
  const options = { listen: "127.0.0.1", port, cronSocket: `${runDir}/cron.sock`, bindings, networks };
  write("config.capnp", workerdConfig(options, readCompatibility()));
  write("edge.env", environmentFile(bindings), 0o600);
  write("Caddyfile", caddyfile(new URL(bindings.DASHBOARD_ORIGIN ?? "").host, port));
  write("systemd/chelar-edge.service", edgeService(home, runDir));
  write("systemd/chelar-edge-cron.service", cronService(runDir));
  write("systemd/chelar-edge-cron.timer", CRON_TIMER);
}
