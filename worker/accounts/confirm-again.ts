import { and, eq, isNotNull } from "drizzle-orm";
import { account } from "../../schema/db/index.ts";
import type { World } from "../clock.ts";
import type { Database } from "../db.ts";
import { good, type Result, refuse } from "../problem.ts";
import { FRESH_SECONDS } from "./auth.ts";
import type { Limits } from "./limits.ts";
import { verifyPassword } from "./passwords.ts";
import * as store from "./store.ts";
import type { Person } from "./types.ts";

const GUESSES = { max: 10, windowSeconds: 3_600 };

/**
 * Whether it is still the owner who asks, before something that cannot be taken back: by their password, or where they
 * have none by a sign-in within the last half hour. A session that was left open somewhere must not be enough.
 */
export async function confirmAgain(
  { db, world, limits }: { db: Database; world: World; limits: Limits | null },
  person: Person,
  password: string | undefined,
): Promise<Result<null>> {
  const [own] = await db
    .select({ hash: account.password })
    .from(account)
    .where(and(eq(account.userId, person.id), isNotNull(account.password)));
  if (!own?.hash) {
    const age = await store.sessionAge(db, person, world.now());
    return age <= FRESH_SECONDS * 1_000 ? good(null) : refuse("sign_in_again");
  }
  if (password === undefined) return refuse("sign_in_again", { field: "password", detail: "Send the password again." });
  const wait = (await limits?.take([[{ key: `again ${person.id}`, ...GUESSES }]])) ?? null;
  if (wait !== null) return refuse("rate_limited", { retryAfterSeconds: wait });
  const isRight = await verifyPassword({ hash: own.hash, password });
  return isRight ? good(null) : refuse("sign_in_again", { field: "password", detail: "The password is not right." });
}
