import { compareVersions } from "../firewall/index.ts";
import type { Row } from "./rules.ts";

/** One demand on what the host is made of. Told, never silently accepted; a developer's machine runs all the same. */
export interface Gate {
  name: "docker" | "runc" | "caddy" | "af_alg";
  have: string;
  need: string;
  ok: boolean;
}

export interface GateFacts {
  /** As the programs say them: `20.10.24+dfsg1`, `v2.11.4 h1:…`; null where one does not answer. */
  docker: string | null;
  runc: string | null;
  caddy: string | null;
  /** What the attack on it saw. */
  afAlg: Pick<Row, "outcome" | "evidence"> | undefined;
}

/**
 * Docker 29.5.1 and Caddy 2.11.4 are the first without holes that matter here; runc 1.2.8 and 1.3.3 close the way out
 * of masked paths (CVE-2025-31133, -52565, -52881).
 */
export function versionGates({ docker, runc, caddy, afAlg }: GateFacts): Gate[] {
  const atLeast = (name: Gate["name"], said: string | null, minimum: string): Gate => {
    const have = numberOf(said);
    const ok = have !== null && compareVersions(have, minimum) >= 0;
    return { name, have: said ?? "does not answer", need: `>= ${minimum}`, ok };
  };
  const have = numberOf(runc) ?? "0";
  const inTwo = compareVersions(have, "1.2.8") >= 0 && compareVersions(have, "1.3.0") < 0;
  return [
    atLeast("docker", docker, "29.5.1"),
    {
      name: "runc",
      have: runc ?? "does not answer",
      need: ">= 1.2.8 in 1.2, or >= 1.3.3",
      ok: inTwo || compareVersions(have, "1.3.3") >= 0,
    },
    atLeast("caddy", caddy, "2.11.4"),
    {
      name: "af_alg",
      have: afAlg?.evidence ?? "not tried",
      need: "socket(AF_ALG) refused by seccomp, or a kernel without it (CVE-2026-31431)",
      ok: afAlg?.outcome === "held",
    },
  ];
}

const numberOf = (said: string | null): string | null => /(\d+(?:\.\d+)+)/.exec(said ?? "")?.[1] ?? null;
