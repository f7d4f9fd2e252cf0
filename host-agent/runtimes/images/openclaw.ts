import { chmod, copyFile, mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { debianSources, readAptSources } from "./apt.ts";
import { BuildFailed } from "./failure.ts";
import { contentKey, input, type Recipe } from "./recipe.ts";
import { runTool } from "./tools.ts";
import { clearPrivilegeBits, removeMatching } from "./tree.ts";

/** The same Debian whatever the host runs, so that the image does not depend on who built it. */
const SUITE = "bookworm";
/** `engines` of openclaw 2026.9.6. */
/** Of its documentation: what a new agent's workspace is made from. The rest is for people. */
const TEMPLATES = "reference/templates";
const NODE_NEEDED = { text: "24.16 or newer", major: 24, minor: 16 };

/**
 * OpenClaw where no image registry can be reached: Debian's base, this very Node, and openclaw with all its packages as
 * pinned by hash in openclaw/package-lock.json. No install script of any of them ever runs.
 */
export function openclawRecipe(): Recipe {
  const manifest = input("./openclaw/package.json");
  const lock = input("./openclaw/package-lock.json");
  return {
    repo: "chelar/openclaw",
    layers: [
      {
        name: "debian",
        key: contentKey(["debian-1", SUITE, process.version, process.arch]),
        share: 0.4,
        doing: "Building the Debian base",
        fill: fillDebian,
      },
      {
        name: "openclaw",
        key: contentKey(["openclaw-3", process.arch, manifest, lock]),
        share: 0.4,
        doing: "Installing OpenClaw's packages",
        fill: (directory, onFraction) => fillOpenclaw(directory, { manifest, lock }, onFraction),
      },
    ],
    changes: ["WORKDIR /app", "ENV PATH=/usr/local/bin:/usr/bin:/bin", "EXPOSE 18789"],
    needMiB: 4_096,
  };
}

async function fillDebian(directory: string, onFraction: (fraction: number) => void): Promise<void> {
  if (process.getuid?.() !== 0) throw new BuildFailed({ reason: "not_root", tool: "debootstrap" });
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major < NODE_NEEDED.major || (major === NODE_NEEDED.major && minor < NODE_NEEDED.minor)) {
    throw new BuildFailed({ reason: "node_too_old", have: process.versions.node, need: NODE_NEEDED.text });
  }
  const { mirror, security } = debianSources(await readAptSources(), SUITE);
  // In namespaces of its own: debootstrap mounts /proc and /sys into the tree, and a killed one must leave neither mounts
  // (deleting the tree would then reach into this machine's /sys) nor processes.
  const within = ["unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--propagation=private"];
  let lines = 0;
  const onLine = () => onFraction(Math.min(0.7, ++lines / 500));
  const args = ["--variant=minbase", "--include=ca-certificates", SUITE, directory, mirror];
  await runTool({ tool: "debootstrap", package: "debootstrap", args, within, onLine });
  if (security) {
    await writeFile(
      join(directory, "etc/apt/sources.list.d/security.list"),
      `deb ${security} ${SUITE}-security main\n`,
    );
    const inTree = { within: [...within, "chroot", directory], env: { DEBIAN_FRONTEND: "noninteractive" } };
    for (const args of [["update"], ["--yes", "upgrade"]]) {
      await runTool({ tool: "apt-get", package: "apt", args, ...inTree });
    }
  }
  for (const spare of [
    "var/cache/apt",
    "var/lib/apt/lists",
    "var/log",
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
  ]) {
    await rm(join(directory, spare), { recursive: true, force: true });
    await mkdir(join(directory, spare), { recursive: true });
  }
  await copyFile(process.execPath, join(directory, "usr/local/bin/node"));
  await chmod(join(directory, "usr/local/bin/node"), 0o755);
  // Device nodes would be a hole in any place that mounts this tree without nodev; Docker brings its own /dev.
  for (const node of await readdir(join(directory, "dev"))) await rm(join(directory, "dev", node), { recursive: true });
  // no-new-privileges already makes them inert; a tree without any is one thing less to believe.
  await clearPrivilegeBits(directory);
}

async function fillOpenclaw(
  directory: string,
  { manifest, lock }: { manifest: Buffer; lock: Buffer },
  onFraction: (fraction: number) => void,
): Promise<void> {
  // The package root is /app, as in the upstream image; packages beside it are found through the link's real path.
  const app = join(directory, "openclaw");
  await mkdir(app, { recursive: true });
  await symlink("openclaw/node_modules/openclaw", join(directory, "app"));
  await writeFile(join(app, "package.json"), manifest);
  await writeFile(join(app, "package-lock.json"), lock);
  const packages = Object.keys((JSON.parse(lock.toString("utf8")) as { packages: object }).packages).length;
  let fetched = 0;
  // `ci`: exactly the lock or an error. Engines are ours to judge: npm may run on an older Node than the image has.
  const args = ["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=http"];
  await runTool({
    tool: "npm",
    package: "npm",
    args,
    cwd: app,
    onLine: (line) => line.startsWith("npm http") && onFraction(Math.min(0.9, ++fetched / packages)),
  });
  await removeMatching(app, (path) => /\.d\.[cm]?ts$|\.map$/.test(path));
  const root = join(app, "node_modules/openclaw");
  await removeMatching(join(root, "docs"), (path) => !path.includes(TEMPLATES));
  // Without it every first turn fails, and nothing says so before somebody has written to the agent.
  await readFile(join(root, "docs", TEMPLATES, "AGENTS.md"));
  // "My install script has not run": it would prune files of older releases and fetch a native addon where npm left it
  // out. A fresh tree from the lock has neither gap, and a read-only root cannot clear the mark at start.
  await rm(join(root, ".openclaw-lifecycle-pending"));
  await readFile(join(root, "dist/index.js"));
}
