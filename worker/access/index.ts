import { Hono } from "hono";
import type { Accounts } from "../accounts/index.ts";
import type { World } from "../clock.ts";
import type { Database } from "../db.ts";
import type { Config } from "../env.ts";
import { Askers } from "./askers.ts";
import { createDeliveries } from "./deliveries.ts";
import { DoorKeys } from "./door.ts";
import { createForwardAuth } from "./forward-auth.ts";
import { readIngressHashes } from "./store.ts";
import { createWayIn } from "./way-in.ts";

export { type Delivery, MESSAGES_PATH } from "./deliveries.ts";

export interface AccessOptions {
  db: Database;
  world: World;
  config: Config;
  accounts: Pick<Accounts, "person" | "bearer">;
}

/** Some Caddys keep the final mark by which the visitor's own query is taken away. */
const isQuestion = /^https?:\/\/[^/]+\/forward-auth\??$/;

/** The door of every tenant, and the dashboard's half of getting through it. */
export function createAccess({ db, world, config, accounts }: AccessOptions) {
  const keys = new DoorKeys(config.ticketKey, config.dashboardOrigin);
  const wayIn = createWayIn({ db, world, config, keys, accounts });
  const askers = new Askers(world, () => readIngressHashes(db));
  const forwardAuth = createForwardAuth({ db, world, config, keys, askers, wayIn, bearer: accounts.bearer });
  const deliveries = createDeliveries({ world, key: config.ticketKey, issuer: config.dashboardOrigin, askers });

  return {
    /** What the inbox shows the door of one agent; good for a minute. */
    deliveryToken: deliveries.token,
    /** Whether this is a host's question, for {@link forwardAuth}. */
    isQuestion: ({ method, url }: Request): boolean => method === "GET" && isQuestion.test(url),
    forwardAuth,
    routes: new Hono()
      .get("/authorize", wayIn.authorize)
      .get("/forward-auth/message", (c) => deliveries.answer(c.req.raw))
      .get("/.well-known/jwks.json", async (c) =>
        c.json(await keys.jwks(), 200, { "cache-control": "public, max-age=300" }),
      ),
  };
}
