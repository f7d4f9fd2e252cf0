import { z } from "zod";
import { toBase64url } from "../../schema/protocol/index.ts";
import type { World } from "../clock.ts";
import type { Database } from "../db.ts";
import type { Post } from "../mail/index.ts";
import { good, type Result, refuse } from "../problem.ts";
import { FRESH_SECONDS } from "./auth.ts";
import { apiKeyHash, type Bearers, newApiKey } from "./bearer.ts";
import { letterDesk } from "./letters.ts";
import * as store from "./store.ts";
import { type Caller, type Holder, type Person, SCOPES, scope } from "./types.ts";

const DAY_MS = 24 * 3_600_000;
const HINT_CHARACTERS = 10;

export const newKeyBody = z.strictObject({
  name: z.string().trim().min(1).max(60),
  scopes: z.array(scope).min(1).max(SCOPES.length),
  expiresInDays: z.int().min(1).max(365),
});
export type NewKey = z.infer<typeof newKeyBody>;

export interface Keys {
  /** The key itself is in this answer and never again: we keep its hash. */
  createKey(person: Person, input: NewKey): Promise<Result<store.ApiKeyView & { key: string }>>;
  /** Ends a key, and with it every token that was made from it. */
  dropKey(person: Person, id: string): Promise<void>;
  issueToken(caller: Caller, authorization: string | null): Promise<{ token: string; expiresAtMs: number }>;
}

interface Options {
  db: Database;
  world: World;
  post: Pick<Post, "send">;
  bearers: Bearers;
  origin: string;
}

export function createKeys({ db, world, post, bearers, origin }: Options): Keys {
  return {
    async createKey(person, input) {
      const now = world.now();
      // A session that was left open, or stolen, must not turn into access that outlives it.
      if ((await store.sessionAge(db, person, now)) > FRESH_SECONDS * 1000) return refuse("sign_in_again");
      const key = newApiKey(world.random(32));
      const row = {
        id: toBase64url(world.random(12)),
        userId: person.id,
        name: input.name,
        hash: apiKeyHash(key),
        hint: key.slice(0, HINT_CHARACTERS),
        scopes: [...new Set(input.scopes)].join(" "),
        createdAt: now,
        expiresAt: now + input.expiresInDays * DAY_MS,
      };
      if (!(await store.saveKey(db, row))) {
        return refuse("too_many_keys", {
          detail: `At most ${store.MAX_KEYS} keys: remove one that you no longer need.`,
        });
      }
      await post.send(letterDesk(origin).changed(person.email, `An API key named "${row.name}" was made`));
      return good({ ...store.keyView(row), key });
    },
    dropKey: (person, id) => store.dropKey(db, person, id),
    async issueToken({ person, scopes }, authorization) {
      const holder = authorization === null ? null : await bearers.holder(authorization);
      const own: Holder = {
        userId: person.id,
        scopes: scopes ?? SCOPES,
        grant: { kind: "session", id: person.sessionId },
        expiresAtMs: Number.MAX_SAFE_INTEGER,
      };
      return bearers.issue(holder ?? own);
    },
  };
}
