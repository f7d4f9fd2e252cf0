import { expect, test } from "vitest";
import { CommandFailed, type Run } from "./run.ts";
import { createUfw } from "./ufw.ts";

/** A host whose UFW says no to every change. `times`: at which repairs it was begun anew. */
async function resetsIn(repairs: number, exitCode: number | null): Promise<number[]> {
  const times: number[] = [];
  let repair = 0;
  const run: Run = async (file, args) => {
    if (file !== "ufw" || args[0] === "show") return "";
    if (args.includes("reset")) times.push(repair);
    throw new CommandFailed(file, args, Object.assign(new Error("no"), { code: exitCode }), "");
  };
  const ufw = createUfw([], run);
  for (repair = 1; repair <= repairs; repair++) await expect(ufw.repair()).rejects.toThrow("ufw");
  return times;
}

test("is begun anew where it refuses again, and ever more seldom", async () => {
  expect(await resetsIn(20, 1)).toEqual([2, 4, 8, 16]);
});

test("is not begun anew where it gave no answer", async () => {
  expect(await resetsIn(20, null)).toEqual([]);
});
