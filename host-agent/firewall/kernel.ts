import type { Run } from "./run.ts";

/** All that the walls are compared with, as the kernel has it. */
export interface KernelRules {
  /** What iptables-save and ip6tables-save print. */
  tables: Readonly<Record<"ipv4" | "ipv6", string>>;
  routing: string[];
}

const PROGRAMS = ["iptables-save", "ip6tables-save", "ip -4 rule show"];
const SCRIPT = 'for program; do $program; printf "\\0"; done';

/**
 * By one program that starts the others: whatever Node starts is a copy of the whole agent first, which on a host with
 * hundreds of tenants costs as much as the look itself.
 */
export async function readKernel(run: Run): Promise<KernelRules> {
  const printed = await run("sh", ["-ec", SCRIPT, "sh", ...PROGRAMS]);
  const [ipv4, ipv6, routing, end] = printed.split("\0");
  // Half a look would find that nothing is missing from what it did not see, or all of it.
  if (ipv4 === undefined || ipv6 === undefined || routing === undefined || end !== "")
    throw new Error("the kernel's rules were not printed whole");
  return { tables: { ipv4, ipv6 }, routing: parseRoutingRules(routing) };
}

/** Lines of `ip rule`. */
export function parseRoutingRules(text: string): string[] {
  const rows = text.split("\n").map((row) => row.trim().replace(/\s+/g, " "));
  return rows.filter((row) => row !== "");
}
