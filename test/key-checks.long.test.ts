import { afterAll, beforeAll, expect, test } from "vitest";
import { askProvider } from "../worker/vault/checks.ts";
import type { Verdict } from "../worker/vault/live.ts";
import { PROVIDERS } from "../worker/vault/providers.ts";
import { Secret } from "../worker/vault/secret.ts";
import type { StandIn } from "./stand-ins/http.ts";
import { type Mood, startProviders } from "./stand-ins/providers.ts";

let standIns: StandIn;
let mood: Mood = "fine";
let came: string[] = [];
beforeAll(async () => {
  standIns = await startProviders("127.0.0.1", (key) => {
    came.push(key);
    return mood;
  });
});
afterAll(() => standIns.close());

const KEY = "key-of-the-test-0123456789";
const ask = (provider: (typeof PROVIDERS)[number], at = standIns.url) =>
  askProvider({ fetch, at }, provider, new Secret(KEY));

const SAYS: Readonly<Record<Exclude<Mood, "silent">, Verdict>> = {
  ...{ fine: "accepted", wrong: "wrong_key", broke: "no_credit", forbidden: "not_allowed", busy: "busy" },
};
/** They have nothing that could run out. */
const WITHOUT_CREDIT = new Set(["telegram", "discord", "slack", "slack-app", "whatsapp"]);

test.each(PROVIDERS)(
  "$label: the key comes to where it is looked for, and each of its answers is understood",
  async (row) => {
    for (const [now, verdict] of Object.entries(SAYS) as [Exclude<Mood, "silent">, Verdict][]) {
      [mood, came] = [now, []];
      const hasNoCredit = verdict === "no_credit" && (WITHOUT_CREDIT.has(row.id) || row.id === "google");
      expect([now, await ask(row)]).toEqual([now, hasNoCredit ? "not_allowed" : verdict]);
      expect(came).toEqual([KEY]);
    }
  },
);

test("nobody there is told apart from a wrong key", async () => {
  const [first] = PROVIDERS;
  expect(await ask(first, "http://127.0.0.1:9")).toBe("unreachable");
  mood = "silent";
  expect(await ask(first)).toBe("unreachable");
});
