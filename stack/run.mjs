// The one door of every `npm run …`: plain JavaScript for whatever Node the machine has. It brings the dependencies
// up to the lock file, then hands over to the Node 24 that came with them.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "");
const modules = `${root}/node_modules`;

function refuse(sentence) {
  console.error(`chelar: ${sentence}`);
  process.exit(1);
}

if (process.platform !== "linux") refuse(`this runs on Linux; this machine says ${process.platform}.`);
if (!["x64", "arm64"].includes(process.arch)) {
  refuse(`this runs on x64 and arm64; this machine says ${process.arch}.`);
}
if (Number(process.versions.node.split(".")[0]) < 20) {
  refuse(`Node 20 or later is needed to start; this is ${process.version}.`);
}

/** Installs what the lock file names, unless the last install was of this very lock file. */
function bringDependencies() {
  const stamp = `${modules}/.chelar-lock`;
  const wanted = createHash("sha256")
    .update(readFileSync(`${root}/package-lock.json`))
    .digest("hex");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return;
  console.error("chelar: installing npm packages (about half a minute the first time) …");
  // Not `npm ci`: it refuses a lock file that lacks optional packages for other systems.
  const npm = spawnSync("npm", ["install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: root,
    stdio: ["ignore", 2, 2],
  });
  if (npm.status !== 0) refuse("npm could not install the packages; its own words are above.");
  writeFileSync(stamp, wanted);
}

bringDependencies();
const node = existsSync(`${modules}/.bin/node`) ? `${modules}/.bin/node` : process.execPath;
const child = spawn(node, ["--disable-warning=ExperimentalWarning", `${root}/stack/cli.ts`, ...process.argv.slice(2)], {
  cwd: root,
  stdio: "inherit",
  env: { ...process.env, PATH: `${modules}/.bin:${process.env.PATH}` },
});
// Ctrl-C reaches the whole process group by itself; the child ends what it started and we wait for it.
process.on("SIGINT", () => {});
process.on("SIGTERM", () => child.kill("SIGTERM"));
child.on("exit", (code, signal) => process.exit(signal ? 1 : (code ?? 1)));
