import type { PostureView } from "../tenants/types.ts";

type Outcome = PostureView["attacks"][number]["outcome"];
type Tone = "good" | "calm" | "bad";

/** What is said of one wall, or of all of them together. */
export interface WallVerdict {
  tone: Tone;
  sentence: string;
}

export const OUTCOME_WORDS: Record<Outcome, { label: string; tone: Tone }> = {
  held: { label: "Held", tone: "good" },
  breached: { label: "Got through", tone: "bad" },
  unproven: { label: "Not proven", tone: "bad" },
  not_managed: { label: "Not kept here", tone: "calm" },
};

/** Where an attacker stood; a position that these pages do not know yet is shown as it is called. */
const FROM_WORDS: ReadonlyMap<string, string> = new Map([
  ["inside", "inside an agent"],
  ["namespace", "root of an agent's network"],
  ["escaped", "escaped from its container"],
  ["outside", "on the server's own wire"],
  ["host", "on the server"],
]);
export const fromWords = (from: string): string => FROM_WORDS.get(from) ?? from;

/** The worst first: one breach is not made good by a hundred that were held. What was not proven is no better than one. */
export function verdictOf(attacks: readonly { outcome: Outcome }[]): WallVerdict {
  const count = (outcome: Outcome) => attacks.filter((row) => row.outcome === outcome).length;
  const [held, breached, unproven] = [count("held"), count("breached"), count("unproven")];
  const tried = held + breached + unproven;
  if (breached > 0) return { tone: "bad", sentence: `${breached} of ${tried} attacks got through` };
  if (unproven > 0) return { tone: "bad", sentence: `${unproven} of ${tried} attacks could not be tried` };
  if (tried > 0) return { tone: "good", sentence: `${held} of ${tried} attacks held` };
  return { tone: "calm", sentence: "not kept by this server" };
}

/** How often walls were found changed and put back, in one sentence. Null where nobody says. */
export function driftWords(drift: Readonly<Record<string, number>> | null): string | null {
  if (drift === null) return null;
  const times = Object.values(drift).reduce((sum, count) => sum + count, 0);
  if (times === 0) return "Nobody has changed a wall since the server's watch began.";
  return `Walls were found changed ${times === 1 ? "once" : `${times} times`} since the server's watch began, and put back.`;
}
