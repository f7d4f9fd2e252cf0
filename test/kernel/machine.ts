import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm } from "node:fs/promises";
import { basename } from "node:path";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import { IMAGE_CACHE } from "../../stack/test-images.ts";

const execute = promisify(execFile);

/**
 * A kernel of the tests' own, Debian's, in an emulated machine: for defences against what the kernel under this machine
 * does not have, and for what nobody may do to it. No hardware help is asked for, so that it runs wherever the tests do.
 */
const PACKAGE = "linux-image-amd64";
const INIT = new URL("./init.sh", import.meta.url);
/** What the first process needs to see this machine's files; the others are loaded as on any Debian. */
const FIRST_MODULES = ["virtio_pci", "9pnet_virtio", "9p", "overlay"];
/** Hardware that no emulated machine has: three quarters of the package. */
const UNUSED = [
  "sound",
  "drivers/gpu",
  "drivers/media",
  "drivers/infiniband",
  "drivers/net/ethernet",
  "drivers/net/wireless",
];

const kernelDir = (): string => {
  const key = createHash("sha256")
    .update(JSON.stringify([PACKAGE, FIRST_MODULES, UNUSED]))
    .update(readFileSync(INIT));
  return `${IMAGE_CACHE}/chelar-kernel-${key.digest("hex").slice(0, 16)}`;
};

/** Fetches the kernel once per machine, some seconds; nothing of it is installed here. */
export async function makeKernel(say: (line: string) => void): Promise<void> {
  if (existsSync(kernelDir())) return;
  say("test kernel: fetching Debian's (some seconds, once) …");
  await mkdir(IMAGE_CACHE, { recursive: true });
  const dir = await mkdtemp(`${IMAGE_CACHE}/kernel-`);
  try {
    const depends = await execute("apt-cache", ["depends", PACKAGE]);
    const name = /Depends: (linux-image-\S+)/.exec(depends.stdout)?.[1];
    if (!name) throw new Error(`${PACKAGE} names no kernel: ${depends.stdout}`);
    const version = name.slice("linux-image-".length);
    const download = () => execute("apt-get", ["-q", "download", name], { cwd: dir });
    // Lists of yesterday may name a version that the mirror has no more.
    await download().catch(async () => {
      await execute("apt-get", ["-q", "update"]);
      await download();
    });
    const [archive = ""] = await readdir(dir);
    await execute("dpkg-deb", ["-x", `${dir}/${archive}`, `${dir}/tree`]);
    for (const path of UNUSED) await rm(`${dir}/tree/lib/modules/${version}/kernel/${path}`, { recursive: true });
    await execute("/usr/sbin/depmod", ["-b", `${dir}/tree`, version]);
    await mkdir(`${dir}/whole`);
    await makeInitramfs(`${dir}/tree`, version, `${dir}/whole/initramfs`);
    await rename(`${dir}/tree/boot/vmlinuz-${version}`, `${dir}/whole/vmlinuz`);
    await rename(`${dir}/tree/lib/modules/${version}`, `${dir}/whole/modules`);
    // Another run of this machine may have been quicker.
    await rename(`${dir}/whole`, kernelDir()).catch((error) => {
      if (!existsSync(kernelDir())) throw error;
    });
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** busybox, {@link INIT} and the modules for the way to this machine's files, in the order in which they are loaded. */
async function makeInitramfs(tree: string, version: string, to: string): Promise<void> {
  const root = `${tree}/initramfs`;
  for (const directory of ["bin", "dev", "machine", "memory", "modules", "root"]) {
    await mkdir(`${root}/${directory}`, { recursive: true });
  }
  await copyFile("/bin/busybox", `${root}/bin/busybox`);
  await copyFile(INIT, `${root}/init`);
  await chmod(`${root}/init`, 0o755);
  const paths = new Set<string>();
  for (const name of FIRST_MODULES) {
    const { stdout } = await execute("/usr/sbin/modprobe", ["-d", tree, "-S", version, "--show-depends", name]);
    for (const [, path = ""] of stdout.matchAll(/^insmod (\S+)/gm)) paths.add(path);
  }
  for (const [index, path] of [...paths].entries()) {
    await copyFile(path, `${root}/modules/${String(index).padStart(2, "0")}-${basename(path)}`);
  }
  const names = (await readdir(root, { recursive: true })).sort();
  const packed = execute("busybox", ["cpio", "-o", "-H", "newc", "-F", to], { cwd: root });
  packed.child.stdin?.end(`${names.join("\n")}\n`);
  await packed;
}

/**
 * Runs a shell script as root of a whole machine: all of this machine's files, read-only, below what it writes; a kernel of
 * its own; no network. Resolves with what it printed. `logFile` gets what kernel and script complain about.
 */
export async function runOnOwnKernel(
  script: string,
  given: Readonly<Record<string, string>>,
  logFile: string,
): Promise<string> {
  const dir = kernelDir();
  if (!existsSync(dir)) throw new Error("the test kernel is not fetched yet: `npm test` fetches it first");
  const environment = Object.entries({ ...given, SCRIPT: script, MODULES: `${dir}/modules` });
  const kernelLine = ["console=ttyS0", "quiet", "panic=-1", "no_timer_check", "mitigations=off"];
  const machine = spawn(
    "setpriv",
    [
      ...["--pdeathsig", "KILL", "--", "qemu-system-x86_64", "-nodefaults", "-no-reboot", "-display", "none"],
      ...["-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1024"],
      ...["-kernel", `${dir}/vmlinuz`, "-initrd", `${dir}/initramfs`],
      ...["-append", [...kernelLine, ...environment.map(([name, value]) => `${name}="${value}"`)].join(" ")],
      ...["-fsdev", "local,id=machine,path=/,security_model=none,readonly=on,multidevs=remap"],
      ...["-device", "virtio-9p-pci,fsdev=machine,mount_tag=machine"],
      ...["-serial", `file:${logFile}`, "-serial", "stdio"],
    ],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  const ended = new Promise<void>((resolve, reject) => machine.once("error", reject).once("exit", () => resolve()));
  const [out, complaint] = await Promise.all([text(machine.stdout), text(machine.stderr), ended]);
  const [, printed, code] = /^(.*)ended with (\d+)\s*$/s.exec(out) ?? [];
  if (code === "0" && printed !== undefined) return printed;
  const log = await readFile(logFile, "utf8").catch(() => "");
  throw new Error(`${script} on its own kernel ended with ${code ?? "nothing"}: ${complaint}${log.slice(-3_000)}`);
}
