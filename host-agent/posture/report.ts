import type { UnnumberedReport } from "../../schema/protocol/index.ts";
import type { FullVerdict } from "./index.ts";

const MAX_CHARACTERS = { source: 80, tries: 120, evidence: 160 } as const;
const clip = (text: string, limit: number) => (text.length <= limit ? text : `${text.slice(0, limit - 1)}…`);

/** A full run as the edge and its tenants may read it. What went wrong with an attempt stays in the operator's answer: it may name paths of the host. */
export function postureReport(verdict: FullVerdict, atMs: number, tookMs: number): UnnumberedReport {
  return {
    type: "host.posture",
    at: atMs,
    tookMs,
    attacks: verdict.attacks.map(({ id, layer, source, from, tries, outcome, evidence }) => ({
      id,
      layer,
      from,
      source: clip(source, MAX_CHARACTERS.source),
      tries: clip(tries, MAX_CHARACTERS.tries),
      outcome,
      evidence: outcome === "unproven" ? "could not be put to the test" : clip(evidence, MAX_CHARACTERS.evidence),
    })),
    gates: verdict.gates.map(({ name, have, need, ok }) => ({
      name,
      have: clip(have, 120),
      need: clip(need, 120),
      ok,
    })),
  };
}
