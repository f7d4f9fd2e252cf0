import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import type { Operator } from "./operator.ts";
import { rotateKeys } from "./rotate-keys.ts";
import type { KeyStatus } from "./rotation.ts";

interface Deployed {
  version: number;
  current: string;
  keys: { kid: string; d: string }[];
}

/** An edge somewhere else, and the hand that deploys to it whatever file it is told to. */
function setUp({ deploys }: { deploys: boolean }) {
  const dir = mkdtempSync(join(tmpdir(), "chelar-rotation-"));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  const status: KeyStatus = {
    ...{ version: 4, current: "old", next: null },
    hosts: [{ id: "hst_a", name: "a", lastReportAt: null, keyset: { version: 4, kids: ["old"] } }],
  };
  const read = (name: string) => JSON.parse(readFileSync(`${dir}/${name}.json`, "utf8")) as Deployed;
  const deploy = () => {
    if (existsSync(`${dir}/COMMAND_KEYS.json`)) {
      const { version, current } = read("COMMAND_KEYS");
      Object.assign(status, { version, current, next: null });
    } else if (existsSync(`${dir}/COMMAND_KEYS_NEXT.json`)) {
      const { version, current } = read("COMMAND_KEYS_NEXT");
      Object.assign(status, { version, next: current });
    }
  };
  const operator = {
    async keys() {
      if (deploys) deploy();
      return structuredClone(status);
    },
    async distribute() {
      const kids = [status.current, status.next].filter((kid) => kid !== null);
      for (const host of status.hosts.filter(({ id }) => id !== "hst_away"))
        host.keyset = { version: status.version, kids };
    },
  } as Operator;
  const printed: string[] = [];
  const spy = vi.spyOn(console, "log").mockImplementation((line) => void printed.push(String(line)));
  onTestFinished(() => spy.mockRestore());
  const rotate = (waitSeconds: number, force = false) =>
    rotateKeys(operator, { dir, isLocal: false, force, waitSeconds });
  return { dir, status, read, printed, rotate };
}

test("hands the operator's own deployment two files and says what to run, without a key on the screen", async () => {
  const { dir, status, read, printed, rotate } = setUp({ deploys: true });
  expect(await rotate(30)).toBe(0);
  const [next, last] = [read("COMMAND_KEYS_NEXT"), read("COMMAND_KEYS")];
  expect([next.version, last.version]).toEqual([5, 6]);
  expect(last.keys).toEqual(next.keys);
  expect(status).toMatchObject({ current: next.current, hosts: [{ keyset: { version: 6, kids: [next.current] } }] });
  const text = printed.join("\n");
  for (const name of ["COMMAND_KEYS_NEXT", "COMMAND_KEYS"]) {
    expect(text).toContain(`wrangler secret put ${name} < ${dir}/${name}.json`);
    expect(statSync(`${dir}/${name}.json`).mode & 0o777).toBe(0o600);
  }
  expect(text).not.toContain(next.keys[0]?.d);
  expect(existsSync(`${dir}/key-rotation.json`)).toBe(false);
});

test("goes on with the same key when it is run again, and makes no second one", async () => {
  const { dir, read, rotate } = setUp({ deploys: false });
  await expect(rotate(0.2)).rejects.toThrow(/Nothing is lost: run the same command again/);
  const first = read("COMMAND_KEYS_NEXT");
  expect(statSync(`${dir}/key-rotation.json`).mode & 0o777).toBe(0o600);
  await expect(rotate(0.2)).rejects.toThrow(/has not taken the new secret in time/);
  expect(read("COMMAND_KEYS_NEXT")).toEqual(first);
});

test("by force, waits for every host that is there, and leaves behind only the one that is away", async () => {
  const { status, read, rotate } = setUp({ deploys: true });
  const old = { version: 4, kids: ["old"] };
  status.hosts.push({ id: "hst_away", name: "away", lastReportAt: null, keyset: old });
  await expect(rotate(0.2)).rejects.toThrow(/^away did not learn the new key in time/);
  expect(await rotate(1, true)).toBe(0);
  const { current } = read("COMMAND_KEYS");
  expect(status).toMatchObject({ current, next: null });
  expect(status.hosts.map(({ keyset }) => keyset)).toEqual([{ version: 6, kids: [current] }, old]);
});
