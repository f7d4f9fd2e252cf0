import { Hono } from "hono";
import type { World } from "../clock.ts";
import { atomically, type Database } from "../db.ts";
import { backgroundOf, describeError } from "../http.ts";
import type { Post } from "../mail/index.ts";
import type { AllowancePort, HostsPort } from "../tenants/service.ts";
import { isOutage } from "./payments.ts";
import { type BillingContext, peek, review } from "./review.ts";
import type { BillingConfig } from "./rules.ts";
import { createBillingService } from "./service.ts";
import * as store from "./store.ts";
import { createStripe } from "./stripe.ts";
import type { BillingService } from "./types.ts";
import { takeEvent, WEBHOOK_PATH } from "./webhook.ts";

export { WEBHOOK_PATH } from "./webhook.ts";

const ACCOUNTS_PER_TICK = 100;
const AGAIN_AFTER_MS = 5 * 60_000;

export interface BillingOptions {
  db: Database;
  world: World;
  config: BillingConfig;
  dashboardOrigin: string;
  hosts: Pick<HostsPort, "announce" | "deliver" | "crowded" | "keepPromises">;
  post: Pick<Post, "posting">;
  /** Reaches the payment provider. */
  fetch: typeof fetch;
}

export interface Billing extends AllowancePort {
  service: BillingService;
  /** The provider's events; nothing where there is no provider. */
  routes: Hono;
  /** What the clock asks for: notices, suspension, deletion, and news that no event brought. */
  tick(): Promise<void>;
  /** Ends an owner's subscription at once, for an account that is closed. Throws when the provider does not answer. */
  close(ownerId: string): Promise<void>;
}

/** The billing room: plans, trials, payments. `docs/billing.md` says what is decided here. */
export function createBilling({ db, world, config, dashboardOrigin, hosts, post, fetch }: BillingOptions): Billing {
  const { mode } = config;
  const payments = mode === "stripe" ? createStripe(config, fetch) : null;
  const { announce, deliver, crowded, keepPromises } = hosts;
  const context: BillingContext = {
    ...{ db, world, mode, payments, post, announce, deliver, crowded, keepPromises },
    billingUrl: `${dashboardOrigin}/billing`,
  };

  const routes = new Hono();
  if (payments) routes.post(WEBHOOK_PATH, (c) => takeEvent({ ...context, payments }, c, backgroundOf(c)));

  return {
    service: createBillingService(context),
    routes,

    async allowanceOf(ownerId) {
      const { it, account } = await peek(context, ownerId);
      return { plan: it.label, tenants: it.tenants, still: account ? [store.insistUnchanged(db, account)] : [] };
    },

    async tick() {
      const now = world.now();
      if (mode !== "off") await atomically(db, [store.openMissingAccounts(db, now), store.forgetEvents(db, now)]);
      // Where billing was switched off, what it held is let go.
      const due = await (mode === "off" ? store.heldOwners : store.dueAccounts)(db, now, ACCOUNTS_PER_TICK);
      let isAway = false;
      for (const { ownerId, customerId } of due) {
        // Not a timeout for each: deliveries to hosts come after us, and must not wait for a provider that is away.
        if (isAway && customerId !== null) {
          await store.postpone(db, ownerId, now + AGAIN_AFTER_MS);
          continue;
        }
        try {
          await review(context, ownerId);
        } catch (error) {
          // One account that cannot be looked at must not stand before all others.
          console.error(
            JSON.stringify({ event: "billing_review_failed", owner: ownerId, error: describeError(error) }),
          );
          await store.postpone(db, ownerId, now + AGAIN_AFTER_MS);
          isAway ||= isOutage(error);
        }
      }
    },

    async close(ownerId) {
      const account = (await store.readAccount(db, ownerId))?.account;
      if (!payments || !account?.customerId) return;
      // First: one that is open could still be paid, for an account that is gone.
      for (const { id } of await payments.openCheckouts(account.customerId)) await payments.expireCheckout(id);
      const subscription = await payments.subscription(account.customerId);
      if (subscription && subscription.standing !== "ended") await payments.cancelNow(subscription.id);
    },
  };
}
