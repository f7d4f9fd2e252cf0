import { copyFile, mkdir, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { BuildFailed } from "./failure.ts";
import { contentKey, input, type Recipe } from "./recipe.ts";
import { runTool } from "./tools.ts";

const APP = "../echo/server.mjs";
const BUSYBOX = "/bin/busybox";

/**
 * The runtime of tests: this very Node, its libraries, a static busybox and one file. Made from what is on the machine,
 * without any network, in about a second.
 */
export function echoRecipe(): Recipe {
  const app = input(APP);
  return {
    repo: "chelar/echo",
    layers: [
      {
        name: "echo",
        key: contentKey(["echo-1", process.version, process.arch, app]),
        share: 0.8,
        doing: "Laying out the echo agent",
        fill: (directory) => fillEcho(directory, app),
      },
    ],
    changes: ["WORKDIR /app", "ENV PATH=/usr/local/bin:/bin", "EXPOSE 8080"],
    needMiB: 512,
  };
}

async function fillEcho(directory: string, app: Buffer): Promise<void> {
  const place = async (from: string, to: string) => {
    await mkdir(dirname(join(directory, to)), { recursive: true });
    await copyFile(from, join(directory, to));
  };
  await place(process.execPath, "/usr/local/bin/node");
  for (const library of await libraries(process.execPath)) await place(library, library);
  if ((await libraries(BUSYBOX)).length > 0) throw new BuildFailed({ reason: "busybox_not_static", path: BUSYBOX });
  await place(BUSYBOX, "/bin/busybox");
  await symlink("busybox", join(directory, "bin/sh"));
  await mkdir(join(directory, "app"));
  await writeFile(join(directory, "app/server.mjs"), app, { mode: 0o644 });
  await mkdir(join(directory, "tmp"), { mode: 0o1777 });
}

/** Paths that the dynamic linker loads for a program, the linker itself included; none for a static one. */
export async function libraries(program: string): Promise<string[]> {
  // ldd ends with 1 for a static program, which is an answer here; `--list` of the linker itself does not say it either.
  const listed = await runTool({ tool: "ldd", package: "libc-bin", args: [program] }).catch((error: unknown) => {
    if (error instanceof BuildFailed && JSON.stringify(error.failure).includes("not a dynamic executable")) return "";
    throw error;
  });
  return parseLdd(listed);
}

/** Lines are `libm.so.6 => /lib/…/libm.so.6 (0x…)`, `/lib64/ld-linux-x86-64.so.2 (0x…)` or a virtual object without path. */
export function parseLdd(text: string): string[] {
  return text.split("\n").flatMap((line) => /(?:^|\s)(\/\S+) \(0x[0-9a-f]+\)$/.exec(line.trimEnd())?.[1] ?? []);
}
