import { audit } from "../../schema/db/index.ts";
import { Limits } from "../accounts/index.ts";
import type { Person } from "../accounts/types.ts";
import type { World } from "../clock.ts";
import type { Database } from "../db.ts";
import { readLimited } from "../http.ts";
import { good, type Result, refuse } from "../problem.ts";
import { judge, type LiveCheck, type Verdict, verdictWords } from "./live.ts";
import { describeRefusal, parseSecret, providerOf } from "./providers.ts";
import type { Secret } from "./secret.ts";

const TIMEOUT_MS = 4_000;
const MAX_ANSWER_BYTES = 64 * 1024;
/** Whoever tries more keys than that in an hour has not come by them honestly. */
const CHECKS = { max: 30, windowSeconds: 3_600 };

export interface KeyCheck {
  verdict: Verdict;
  /** The verdict, for the owner. */
  words: string;
}

/** `at`: stand-ins of the providers, each below its own id; null for the real ones. */
export function createKeyChecks(context: { db: Database; world: World; fetch: typeof fetch; at: string | null }) {
  const { db, world } = context;
  const limits = new Limits(db, world);
  return {
    /** Asks the provider. Nothing is stored but that it was asked; a verdict decides nothing by itself. */
    async check(person: Person, name: string, value: string): Promise<Result<KeyCheck>> {
      const parsed = parseSecret(name, value);
      if (!parsed.ok) return refuse("invalid_secret", { field: "value", detail: describeRefusal(parsed.refusal) });
      const provider = providerOf(name);
      if (!provider) return refuse("internal");
      // Counted before the provider is asked: many at once are as many.
      const waitSeconds = await limits.take([[{ key: `key-check ${person.id}`, ...CHECKS }]]);
      if (waitSeconds !== null) return refuse("rate_limited", { retryAfterSeconds: waitSeconds });
      const verdict = await askProvider(context, provider, parsed.secret);
      const detail = JSON.stringify({ name, verdict });
      await db
        .insert(audit)
        .values({ at: world.now(), actor: person.id, action: "secret.check", subject: person.id, detail });
      return good({ verdict, words: verdictWords(verdict, provider.label) });
    },
  };
}
export type KeyChecks = ReturnType<typeof createKeyChecks>;

export async function askProvider(
  { fetch, at }: { fetch: typeof globalThis.fetch; at: string | null },
  { id, check }: { id: string; check: LiveCheck },
  secret: Secret,
): Promise<Verdict> {
  const url = new URL(check.url);
  const target = at === null ? url.href : `${at}/${id}${url.pathname}${url.search}`;
  const { headers, body } = check;
  try {
    const response = await fetch(target.replace(/\{key\}|%7Bkey%7D/, secret.reveal()), {
      method: body ? "POST" : "GET",
      headers: { ...headers(secret.reveal()), ...(body && { "content-type": "application/json" }) },
      ...(body && { body: JSON.stringify(body) }),
      // A redirect would carry the key to whoever it names.
      redirect: "manual",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const text = await readLimited(response, MAX_ANSWER_BYTES);
    return judge(check, { status: response.status, text, json: parseJson(text) });
  } catch {
    // The error's own text may hold the URL, and with it a token: nobody hears it.
    return "unreachable";
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
