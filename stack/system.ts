import { execFile, spawn } from "node:child_process";
import { accessSync, constants, statfsSync } from "node:fs";
import { createServer } from "node:net";
import { createInterface } from "node:readline/promises";
import { promisify } from "node:util";
import { HOST_FILES, HOST_PROGRAMS } from "../host-agent/bootstrap/packages.ts";

const run = promisify(execFile);

/** A refusal that is one clear sentence for the person at the terminal; nothing was changed. */
export class Refusal extends Error {}

/** What only the tests need. */
const TEST_PROGRAMS: Readonly<Record<string, string>> = {
  ufw: "ufw",
  chromium: "chromium",
  nsenter: "util-linux",
  "systemd-nspawn": "systemd-container",
  "ssh-keygen": "openssh-client",
  curl: "curl",
  "qemu-system-x86_64": "qemu-system-x86",
  modprobe: "kmod",
};

const onPath = (program: string): boolean =>
  [...(process.env.PATH ?? "").split(":"), "/usr/sbin", "/sbin", "/usr/bin", "/bin"].some((directory) => {
    if (directory.includes("node_modules")) return false;
    try {
      accessSync(`${directory}/${program}`, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });

const exists = (file: string): boolean => {
  try {
    accessSync(file);
    return true;
  } catch {
    return false;
  }
};

export function missingPackages(purpose: "up" | "test"): string[] {
  const programs = purpose === "test" ? { ...HOST_PROGRAMS, ...TEST_PROGRAMS } : HOST_PROGRAMS;
  const missing = [
    ...Object.entries(programs).filter(([program]) => !onPath(program)),
    ...Object.entries(HOST_FILES).filter(([file]) => !exists(file)),
  ].map(([, name]) => name);
  return [...new Set(missing)].sort();
}

/** Installs what is missing; asks first when a person is at the terminal, unless `yes`. */
export async function bringPackages(purpose: "up" | "test", yes: boolean): Promise<void> {
  if (process.getuid?.() !== 0) {
    throw new Refusal(
      "this needs root, since it makes network bridges, firewall rules and containers: run it again as root.",
    );
  }
  const missing = missingPackages(purpose);
  if (missing.length === 0) return;
  if (!exists("/usr/bin/apt-get")) {
    throw new Refusal(
      `these Debian packages are missing and there is no apt-get to install them: ${missing.join(", ")}.`,
    );
  }
  console.error(`chelar: missing system packages: ${missing.join(", ")}`);
  if (!yes && process.stdin.isTTY) {
    const prompt = createInterface({ input: process.stdin, output: process.stderr });
    const answer = await prompt.question("Install them with apt-get now? [Y/n] ");
    prompt.close();
    if (!/^(y|yes|)$/i.test(answer.trim())) throw new Refusal(`not without these packages: ${missing.join(", ")}.`);
  }
  const apt = (...args: string[]) =>
    passThrough("apt-get", ["-q", "-o", "DPkg::Lock::Timeout=120", ...args], { DEBIAN_FRONTEND: "noninteractive" });
  await apt("update");
  await apt("install", "-y", "--no-install-recommends", ...missing);
  const still = missingPackages(purpose);
  if (still.length > 0) throw new Refusal(`apt-get did not bring: ${still.join(", ")}.`);
}

function passThrough(command: string, args: string[], env: Record<string, string>): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", 2, 2], env: { ...process.env, ...env } });
    child.once("error", reject);
    child.once("exit", (code) =>
      code === 0 ? resolve() : reject(new Refusal(`\`${command} ${args.join(" ")}\` failed; its own words are above.`)),
    );
  });
}

export function requireSpace(directory: string, gibibytes: number): void {
  const { bavail, bsize } = statfsSync(directory);
  const free = (bavail * bsize) / 2 ** 30;
  if (free < gibibytes) {
    throw new Refusal(
      `${gibibytes} GiB of free disk space are needed under ${directory}; ${free.toFixed(1)} GiB are free.`,
    );
  }
}

/** Refuses with the name of what the port is for; 0.0.0.0 also sees what listens on one address only. */
export async function requireFreePort(port: number, purpose: string, option: string): Promise<void> {
  const free = await new Promise<boolean>((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ port, host: "0.0.0.0", exclusive: true }, () => server.close(() => resolve(true)));
  });
  if (!free)
    throw new Refusal(`port ${port} (${purpose}) is in use: end what uses it, or choose another with ${option}.`);
}

export async function commandOutput(command: string, args: readonly string[]): Promise<string> {
  const { stdout } = await run(command, [...args], { maxBuffer: 64 * 2 ** 20 });
  return stdout;
}
