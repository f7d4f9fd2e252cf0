import type { TenantLayout } from "../tenants/layout.ts";
import { ask, mountOn } from "./run.ts";

const MOST = 1_000;

/**
 * Files of a tenant that are not its own, or open to others. Its container can make neither: they come from a hand on the
 * host or from a copy that was made elsewhere. Links have no mode of their own. `first`: one of them, for the log.
 */
export async function countStrays({
  dataDir,
  uid,
}: Pick<TenantLayout, "dataDir" | "uid">): Promise<{ strays: number; first: string | null }> {
  if (!(await mountOn(dataDir))) return { strays: 0, first: null };
  const foreign = ["!", "-uid", String(uid), "-o", "!", "-gid", String(uid)];
  const open = ["!", "-type", "l", "-perm", "/077"];
  const found = await ask("timeout", [
    ...["20", "find", dataDir, "-xdev", "(", ...foreign, "-o", ...open, ")"],
    ...["-printf", "%m %U:%G %y\\n"],
  ]);
  const lines = found.split("\n").filter(Boolean);
  return { strays: Math.min(MOST, lines.length), first: lines[0] ?? null };
}
