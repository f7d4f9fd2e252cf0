import { readFile, readlink } from "node:fs/promises";
import type { CellFacts } from "../../schema/protocol/index.ts";
import { cellOf, NAMESPACES } from "./rules.ts";

/** What the kernel says about a container by its first process: not what was asked for, but what is. Null: it has ended. */
export async function readCell(pid: number): Promise<CellFacts | null> {
  const own = async (space: string) => (await link(pid, space)) !== (await link("self", space));
  try {
    const [status, mounts, apart] = await Promise.all([
      readFile(`/proc/${pid}/status`, "utf8"),
      readFile(`/proc/${pid}/mountinfo`, "utf8"),
      Promise.all(NAMESPACES.map(own)),
    ]);
    return cellOf({ status, mounts, namespaces: NAMESPACES.filter((_, index) => apart[index]) });
  } catch {
    return null;
  }
}

const link = (of: number | "self", space: string) => readlink(`/proc/${of}/ns/${space}`);
