import type { Context } from "hono";
import type { Accounts, Person } from "../accounts/index.ts";
import type { World } from "../clock.ts";
import { ACTING_FRESH_MS, READING_FRESH_MS } from "./rules.ts";

/** Whoever may see what operators see, and whether they may do something now. */
export type Admitted =
  | { ok: true; person: Person /** Neither a passkey nor a code from an app. */; passwordOnly: boolean }
  /** `stranger`: no operator, who is not to learn that there is anything here. */
  | { ok: false; reason: "stranger" | "stale"; person: Person | null };

/**
 * By the session of somebody with the role. Never by an API key or a token of theirs: those are for programs of owners,
 * and none of their scopes says "operator".
 */
export async function admit(
  c: Context,
  { accounts, world }: { accounts: Pick<Accounts, "person" | "security">; world: Pick<World, "now"> },
  purpose: "read" | "act",
  /** What may be asked for beside the question how fresh the sign-in is, by somebody with the role. */
  beside?: () => void,
): Promise<Admitted> {
  const person = await accounts.person(c);
  if (person?.role !== "operator") return { ok: false, reason: "stranger", person };
  beside?.();
  const { sessions, passkeys, twoFactor } = await accounts.security(person);
  const began = sessions.find(({ current }) => current)?.createdAt;
  const age = began === undefined ? Number.POSITIVE_INFINITY : world.now() - Date.parse(began);
  if (age > (purpose === "read" ? READING_FRESH_MS : ACTING_FRESH_MS)) return { ok: false, reason: "stale", person };
  return { ok: true, person, passwordOnly: passkeys.length === 0 && !twoFactor };
}
