import { execFile } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { testDirectory } from "../testing.ts";
import { readKernel } from "./kernel.ts";
import type { Run } from "./run.ts";

const WHOLE = { "iptables-save": "echo four", "ip6tables-save": "echo six", ip: 'echo "0: $*"' };

/** A real shell that finds these programs, each with what it does. */
function runWith(programs: Readonly<Record<string, string>>): Run {
  const bin = `${testDirectory(onTestFinished)}/bin`;
  mkdirSync(bin);
  for (const [name, script] of Object.entries(programs)) {
    writeFileSync(`${bin}/${name}`, `#!/bin/sh\n${script}\n`);
    chmodSync(`${bin}/${name}`, 0o755);
  }
  return async (file, args) => (await promisify(execFile)(`/bin/${file}`, [...args], { env: { PATH: bin } })).stdout;
}

test("reads both families and the routing rules, each from its own program", async () => {
  expect(await readKernel(runWith(WHOLE))).toEqual({
    tables: { ipv4: "four\n", ipv6: "six\n" },
    routing: ["0: -4 rule show"],
  });
});

test.each(Object.keys(WHOLE))("takes no look for one in which %s failed", async (name) => {
  const failing = { ...WHOLE, [name]: "echo half of it; echo broken >&2; exit 3" };
  await expect(readKernel(runWith(failing))).rejects.toThrow("broken");
});

test("takes no look for one that was not printed whole", async () => {
  await expect(readKernel(async () => "four\0six\0")).rejects.toThrow("not printed whole");
  await expect(readKernel(async () => "four\0six\0routing")).rejects.toThrow("not printed whole");
});
