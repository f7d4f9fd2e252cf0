import { execFile } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, relative } from "node:path";
import { promisify } from "node:util";
import { build, type Plugin } from "esbuild";
import { digestFile, type Programs, type ShippedFile } from "../host-agent/bootstrap/index.ts";
import { Refusal } from "./system.ts";
import { ROOT } from "./worker.ts";

const run = promisify(execFile);

/** What a server is given: this very Node, npm, and the host agent as one file with what it reads beside it. */
export async function makePrograms(outDir: string): Promise<Programs> {
  mkdirSync(outDir, { recursive: true });
  const [node, agent, npm] = await Promise.all([shipNode(), shipAgent(outDir), packNpm(outDir)]);
  return { machine: process.arch === "arm64" ? "aarch64" : "x86_64", node, ...agent, npm };
}

async function shipped(file: string, path: string, mode: number): Promise<ShippedFile> {
  return { path, file, mode, sha256: await digestFile(file), bytes: statSync(file).size };
}

async function shipNode(): Promise<ShippedFile> {
  const [major = 0] = process.versions.node.split(".").map(Number);
  if (major < 24) throw new Refusal(`a host runs Node 24; this is ${process.version}: install the npm packages again.`);
  return shipped(process.execPath, `node-${process.version}/bin/node`, 0o755);
}

/** Where each source file's `import.meta.url` pointed, seen from the bundle: its assets are laid out the same way. */
const keepPlaces: Plugin = {
  name: "keep-places",
  setup({ onLoad }) {
    onLoad({ filter: /\/(?:host-agent|schema)\/.*\.ts$/ }, ({ path }) => {
      const source = readFileSync(path, "utf8");
      if (!source.includes("import.meta.url")) return null;
      const place = `new URL(${JSON.stringify(`./${relative(ROOT, path)}`)}, import.meta.url).href`;
      return { contents: source.replaceAll("import.meta.url", place), loader: "ts" };
    });
  },
};

async function shipAgent(outDir: string): Promise<Pick<Programs, "release" | "agent">> {
  const bundle = `${outDir}/host-agent.mjs`;
  const result = await build({
    entryPoints: [`${ROOT}/host-agent/main.ts`],
    outfile: bundle,
    bundle: true,
    platform: "node",
    target: "node24",
    format: "esm",
    banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
    plugins: [keepPlaces],
    metafile: true,
    logLevel: "silent",
  });
  const rooms = Object.keys(result.metafile.inputs).filter((path) => path.startsWith("host-agent/"));
  if (rooms.length === 0) throw new Error("the bundle of the host agent is empty");
  // Copies: what is edited meanwhile belongs to the next release.
  for (const path of assets()) {
    mkdirSync(dirname(`${outDir}/${path}`), { recursive: true });
    copyFileSync(`${ROOT}/${path}`, `${outDir}/${path}`);
  }
  const files = ["host-agent.mjs", ...assets()].map((path) => ({ file: `${outDir}/${path}`, path }));
  const agent = await Promise.all(files.map(({ file, path }) => shipped(file, path, 0o644)));
  const name = `${outDir}/release.txt`;
  writeFileSync(name, agent.map(({ path, sha256 }) => `${sha256} ${path}\n`).join(""));
  const release = `agent-${(await digestFile(name)).slice(0, 12)}`;
  return { release, agent: agent.map((file) => ({ ...file, path: `${release}/${file.path}` })) };
}

/** Every file of the host agent that is no source: the Caddyfile, programs of the test runtime, package locks. */
const assets = (): string[] =>
  readdirSync(`${ROOT}/host-agent`, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !/\.tsx?$/.test(entry.name))
    .map((entry) => relative(ROOT, `${entry.parentPath}/${entry.name}`))
    .filter((path) => !path.includes("node_modules"))
    .sort();

/** The npm that started us, for runtimes that are made of npm packages: Debian's is hundreds of packages and years old. */
async function packNpm(outDir: string): Promise<Programs["npm"]> {
  const cli = process.env.npm_execpath ?? (await which("npm"));
  if (!cli || !existsSync(cli)) return null;
  const directory = dirname(dirname(realpathSync(cli)));
  if (!existsSync(`${directory}/bin/npm-cli.js`)) return null;
  const { version } = JSON.parse(readFileSync(`${directory}/package.json`, "utf8")) as { version: string };
  const archive = `${outDir}/npm-${version}.tar.gz`;
  // Fixed owners, times and order: the same npm is the same file, and is not sent twice.
  const fixed = ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0"];
  const leave = ["--exclude=./docs", "--exclude=./man"];
  const gzip = ["--use-compress-program", "gzip -n"];
  await run("tar", ["--create", "--file", archive, ...fixed, ...leave, ...gzip, "-C", directory, "."]);
  return { archive: await shipped(archive, `npm-${version}.tar.gz`, 0o644), directory: `npm-${version}` };
}

const which = async (name: string) => (await run("which", [name]).catch(() => ({ stdout: "" }))).stdout.trim();
