import type { z } from "zod";
import type { Person } from "../accounts/index.ts";
import { isGuardFailure } from "../db.ts";
import { describeError } from "../http.ts";
import { good, type Result, refuse } from "../problem.ts";
import { PLANS } from "../tenants/index.ts";
import type { Background } from "../tenants/types.ts";
import { startCheckout } from "./checkout.ts";
import { Declined, isProviderError, type Payments } from "./payments.ts";
import { type BillingContext, type Peek, peek, type Review, review } from "./review.ts";
import { comparePlans, DAY_MS, isTrial, planBody } from "./rules.ts";
import * as store from "./store.ts";
import { type BillingService, type BillingView, type Papers, taxIdView } from "./types.ts";

type Paying = BillingContext & { payments: Payments };
/** What an owner does about money. Every change is made at the provider, and then asked for like any other news. */
export function createBillingService(context: BillingContext): BillingService {
  const { db, world } = context;

  async function look(person: Person, later: Background): Promise<Review> {
    await store.openAccount(db, person.id, world.now());
    const found = await review(context, person.id);
    if (!found) throw new Error("an account that was just opened is not there");
    later(Promise.all(found.changed.map(context.deliver)));
    return found;
  }

  /** For what needs the provider: without one it is not there; one that does not answer is not our failure. */
  async function paying<T>(act: (context: Paying) => Promise<Result<T>>): Promise<Result<T>> {
    const { payments } = context;
    if (!payments) return refuse("not_found");
    try {
      return await act({ ...context, payments });
    } catch (error) {
      if (error instanceof Declined) return refuse("payment_declined");
      // Too many at once for one account: whoever pressed in six tabs may press again.
      if (isGuardFailure(error)) return refuse("rate_limited", { retryAfterSeconds: 5 });
      if (!isProviderError(error)) throw error;
      console.error(JSON.stringify({ event: "payments_unavailable", error: describeError(error) }));
      return refuse("payments_unavailable");
    }
  }

  const planOf = (body: unknown): Result<z.infer<typeof planBody>> => {
    const parsed = planBody.safeParse(body);
    return parsed.success ? good(parsed.data) : refuse("invalid_body", { field: "plan" });
  };
  const papersOf = async (payments: Payments, customerId: string): Promise<Papers> => {
    const [bills, taxIds] = await Promise.all([payments.bills(customerId), payments.taxIds(customerId)]);
    return { bills, taxIds };
  };
  const customerOf = async (person: Person) => (await store.readAccount(db, person.id))?.account.customerId ?? null;
  const seen = (found: Peek) => viewOf(context.mode, found, world.now());
  const anew = async (person: Person, later: Background) => good(seen(await look(person, later)));

  return {
    async read(person) {
      return seen(await peek(context, person.id));
    },

    refresh: (person, later) => paying(() => anew(person, later)),

    checkout: (person, body, later) =>
      paying(async (context) => {
        const parsed = planOf(body);
        if (!parsed.ok) return parsed;
        await store.openAccount(db, person.id, world.now());
        const started = await startCheckout(context, person, parsed.value.plan);
        if (started.ok) return good({ url: started.url });
        await look(person, later);
        return refuse(started.reason);
      }),

    changePlan: (person, body, later) =>
      paying(async ({ payments }) => {
        const parsed = planOf(body);
        if (!parsed.ok) return parsed;
        const { plan } = parsed.value;
        const { account, agents } = await look(person, later);
        const subscription = store.subscriptionOf(account);
        if (subscription?.standing !== "paid") return refuse(subscription ? "payment_required" : "not_subscribed");
        const change = comparePlans(subscription.plan, plan);
        if (change === "none") return anew(person, later);
        // Which agents have to go is the owner's choice, not ours.
        const room = PLANS[plan].tenants;
        if (agents > room) {
          return refuse("too_many_tenants", {
            detail: `That plan has room for ${room} and you have ${agents}: delete those that you no longer need first.`,
          });
        }
        await payments.changePlan(subscription, plan, change);
        return anew(person, later);
      }),

    cancel: (person, atPeriodEnd, later) =>
      paying(async ({ payments }) => {
        const { account } = await look(person, later);
        const subscription = store.subscriptionOf(account);
        if (!subscription || subscription.standing === "ended") return refuse("not_subscribed");
        await payments.setCancellation(subscription.id, atPeriodEnd);
        return anew(person, later);
      }),

    portal: (person) =>
      paying(async ({ payments, billingUrl }) => {
        const customerId = await customerOf(person);
        return customerId ? good({ url: await payments.portal(customerId, billingUrl) }) : refuse("not_subscribed");
      }),

    papers: (person) =>
      paying(async ({ payments }) => {
        const customerId = await customerOf(person);
        return good(customerId ? await papersOf(payments, customerId) : { bills: [], taxIds: [] });
      }),

    addTaxId: (person, body) =>
      paying(async ({ payments }) => {
        const taxId = taxIdView.safeParse(body);
        if (!taxId.success) return refuse("invalid_body", { field: "value", detail: "This is not a tax id." });
        const customerId = await customerOf(person);
        if (!customerId) return refuse("not_subscribed");
        try {
          await payments.addTaxId(customerId, taxId.data);
        } catch (error) {
          if (!(error instanceof Declined)) throw error;
          return refuse("invalid_body", { field: "value", detail: "This is not a tax id of that country." });
        }
        return good(await papersOf(payments, customerId));
      }),
  };
}

const iso = (ms: number) => new Date(ms).toISOString();
const isoOrNull = (ms: number | null) => (ms === null ? null : iso(ms));

function viewOf(payments: BillingView["payments"], { it, account, agents }: Peek, now: number): BillingView {
  const subscription = account && store.subscriptionOf(account);
  return {
    payments,
    stage: it.stage,
    plan: it.plan,
    agents: { used: agents, allowed: Number.isFinite(it.tenants) ? it.tenants : null },
    trialEndsAt: isoOrNull(account?.trialEndsAt ?? null),
    trialDaysLeft: account && isTrial(it.stage) ? Math.ceil((account.trialEndsAt - now) / DAY_MS) : null,
    until: isoOrNull(it.until),
    subscription: subscription && {
      standing: subscription.standing,
      periodEndsAt: iso(subscription.periodEndsAt),
      cancelsAt: isoOrNull(subscription.cancelsAt),
    },
  };
}
