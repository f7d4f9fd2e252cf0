import type { Ground } from "../ground.ts";
import { type Attack, BLOCKED_MODULES, showing, type Unmanaged } from "../rules.ts";

/** The fourth wall's foot: what the server's own kernel would bring in when a tenant asks for it. */
export function machineAttacks({ managed, modprobeDirectories }: Ground): (Attack | Unmanaged)[] {
  const what = {
    id: "algif-modules",
    layer: 4 as const,
    source: "CVE-2026-31431",
    from: "host" as const,
    tries: "have the kernel load its AF_ALG modules (algif_*)",
    must: "modprobe is told to refuse each, none is loaded, none is built in",
  };
  if (!managed.modules) return [{ ...what, why: "not managed here: this machine's kernel is its owner's" }];
  const judge = showing(
    (found) => (found.startsWith("blocked") ? null : found),
    (found) => found,
  );
  const given = [modprobeDirectories.join(":"), BLOCKED_MODULES.join(",")];
  return [{ ...what, attempt: { operation: "modules", arguments: given }, judge }];
}
