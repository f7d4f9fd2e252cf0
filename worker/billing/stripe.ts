import type { Stripe } from "stripe";
import { z } from "zod";
import { PLAN_IDS, type PlanId } from "../tenants/index.ts";
import type { StripeConfig, Subscription } from "./rules.ts";
import type { Bill, TaxId } from "./types.ts";

/** How old a webhook's signature may be. */
const TOLERANCE_SECONDS = 300;
const TIMEOUT_MS = 10_000;
/** Stripe takes at least 30 minutes; short, so that a forgotten tab cannot be paid tomorrow. */
const CHECKOUT_OPEN_SECONDS = 3_600;
const INVOICES_SHOWN = 24;

export interface OpenCheckout {
  id: string;
  url: string;
  plan: PlanId | null;
  attempt: string | null;
  expiresAt: number;
}
/** What of an event is believed: that it is Stripe's, and whose account to look at. */
export interface BillingEvent {
  id: string;
  type: string;
  at: number;
  customerId: string | null;
}

/** A payment or a value was refused for what it is; the same again would be refused again. */
export class Declined extends Error {
  override name = "Declined";
}

/** What the provider or the way to it threw, as against a mistake of ours. */
export const isProviderError = (error: unknown): boolean =>
  error instanceof Error && "type" in error && String(error.type).startsWith("Stripe");

/** It is away for everybody, not only for one account. */
export const isOutage = (error: unknown): boolean =>
  isProviderError(error) &&
  ["StripeConnectionError", "StripeAPIError", "StripeRateLimitError"].includes(
    (error as unknown as { type: string }).type,
  );

/**
 * The payment provider, as this room needs it. All amounts in cents, all times in milliseconds. Every call either does
 * what it says, throws {@link Declined}, or throws another error after which nothing is known: call it again.
 */
export interface Payments {
  /** One customer per owner, however often it is asked for. */
  createCustomer(owner: { id: string; email: string; name: string }): Promise<string>;
  /** The subscription that counts, fetched now; null before the first payment. */
  subscription(customerId: string): Promise<Subscription | null>;
  openCheckouts(customerId: string): Promise<OpenCheckout[]>;
  /** The same `attempt` gives the same checkout. */
  createCheckout(order: {
    attempt: string;
    startedAt: number;
    customerId: string;
    plan: PlanId;
    backTo: string;
  }): Promise<{ id: string; url: string }>;
  /** False when it was paid meanwhile. */
  expireCheckout(id: string): Promise<boolean>;
  /** An upgrade is billed for the rest of the period at once and happens only if that is paid; a downgrade is credited. */
  changePlan(subscription: Subscription, plan: PlanId, change: "upgrade" | "downgrade"): Promise<void>;
  setCancellation(subscriptionId: string, atPeriodEnd: boolean): Promise<void>;
  cancelNow(subscriptionId: string): Promise<void>;
  portal(customerId: string, backTo: string): Promise<string>;
  bills(customerId: string): Promise<Bill[]>;
  taxIds(customerId: string): Promise<TaxId[]>;
  addTaxId(customerId: string, taxId: TaxId): Promise<void>;
  /** Null when the signature is of none of our secrets, too old, or of other bytes. */
  event(raw: string, signature: string, nowMs: number): Promise<BillingEvent | null>;
}

export function createStripe(config: StripeConfig, reach: typeof fetch): Payments {
  let made: Stripe | undefined;
  // Loaded when first needed: the package is large, and every request to every agent would wait for it at a cold start.
  const client = async () => {
    if (made) return made;
    const { default: Client } = await import("stripe");
    const { protocol, hostname, port } = new URL(config.api);
    made ??= new Client(config.key, {
      httpClient: Client.createFetchHttpClient(reach),
      protocol: protocol === "http:" ? "http" : "https",
      host: hostname,
      port: port || (protocol === "http:" ? 80 : 443),
      maxNetworkRetries: 2,
      timeout: TIMEOUT_MS,
      telemetry: false,
    });
    return made;
  };
  const planOfPrice = (price: string): PlanId => {
    const plan = PLAN_IDS.find((id) => config.prices[id].includes(price));
    if (!plan) throw new Error(`a subscription has the price ${price}, which is none of the plans`);
    return plan;
  };
  const priceOf = (plan: PlanId) => config.prices[plan][0] as string;

  async function owingSince(stripe: Stripe, subscriptionId: string): Promise<number | null> {
    const { data } = await stripe.invoices.list({ subscription: subscriptionId, status: "open", limit: 100 });
    return data.length === 0 ? null : Math.min(...data.map(({ created }) => created)) * 1000;
  }

  return {
    async createCustomer({ id, email, name }) {
      const stripe = await client();
      const customer = await stripe.customers.create(
        { email, name, metadata: { owner: id } },
        { idempotencyKey: `chelar-customer-${id}` },
      );
      return customer.id;
    },

    async subscription(customerId) {
      const stripe = await client();
      const { data } = await stripe.subscriptions.list({ customer: customerId, status: "all", limit: 100 });
      const it = chooseSubscription(data.map((one) => subscriptionShape.parse(one)));
      if (!it) return null;
      const standing = STANDING[it.status];
      if (!standing) return null;
      const item = it.items.data[0];
      const period = (item?.current_period_end ?? it.created) * 1000;
      const ended = it.ended_at === null ? null : it.ended_at * 1000;
      // Ended because it was not paid: then the lapse began with the bill, not with the end.
      const unpaid = standing === "owing" || it.cancellation_details?.reason === "payment_failed";
      const began = (item?.current_period_start ?? it.created) * 1000;
      return {
        id: it.id,
        plan: planOfPrice(item?.price.id ?? ""),
        standing,
        periodEndsAt: period,
        cancelsAt: it.cancel_at !== null ? it.cancel_at * 1000 : it.cancel_at_period_end ? period : null,
        owingSince: unpaid ? ((await owingSince(stripe, it.id)) ?? began) : null,
        endedAt: ended,
      };
    },

    async openCheckouts(customerId) {
      const stripe = await client();
      const { data } = await stripe.checkout.sessions.list({ customer: customerId, status: "open", limit: 100 });
      return data.map(({ id, url, metadata, expires_at }) => ({
        id,
        url: url ?? "",
        plan: PLAN_IDS.find((plan) => plan === metadata?.plan) ?? null,
        attempt: metadata?.attempt ?? null,
        expiresAt: expires_at * 1000,
      }));
    },

    async createCheckout({ attempt, startedAt, customerId, plan, backTo }) {
      const stripe = await client();
      const session = await stripe.checkout.sessions.create(
        {
          mode: "subscription",
          customer: customerId,
          line_items: [{ price: priceOf(plan), quantity: 1 }],
          metadata: { plan, attempt },
          // From the attempt, not from now: the same attempt must be the same request to the letter.
          expires_at: Math.floor(startedAt / 1000) + CHECKOUT_OPEN_SECONDS,
          success_url: `${backTo}?done=checkout`,
          cancel_url: backTo,
          billing_address_collection: "required",
          tax_id_collection: { enabled: true },
          customer_update: { name: "auto", address: "auto" },
        },
        { idempotencyKey: `chelar-checkout-${attempt}` },
      );
      if (!session.url) throw new Error("a fresh checkout has no address");
      return { id: session.id, url: session.url };
    },

    async expireCheckout(id) {
      const stripe = await client();
      try {
        await stripe.checkout.sessions.expire(id);
        return true;
      } catch (error) {
        const { status } = await stripe.checkout.sessions.retrieve(id);
        if (status === "open") throw error;
        return status === "expired";
      }
    },

    async changePlan({ id }, plan, change) {
      const stripe = await client();
      const item = (await stripe.subscriptions.retrieve(id)).items.data[0];
      if (!item) throw new Error(`the subscription ${id} has no item`);
      await declining(
        stripe.subscriptions.update(id, {
          items: [{ id: item.id, price: priceOf(plan) }],
          ...(change === "upgrade"
            ? { proration_behavior: "always_invoice", payment_behavior: "error_if_incomplete" }
            : { proration_behavior: "create_prorations" }),
        }),
      );
    },

    async setCancellation(subscriptionId, atPeriodEnd) {
      await (await client()).subscriptions.update(subscriptionId, { cancel_at_period_end: atPeriodEnd });
    },

    async cancelNow(subscriptionId) {
      const stripe = await client();
      try {
        await stripe.subscriptions.cancel(subscriptionId);
      } catch (error) {
        const { status } = await stripe.subscriptions.retrieve(subscriptionId);
        if (STANDING[status] !== "ended") throw error;
      }
    },

    async portal(customerId, backTo) {
      const stripe = await client();
      return (await stripe.billingPortal.sessions.create({ customer: customerId, return_url: backTo })).url;
    },

    async bills(customerId) {
      const stripe = await client();
      const { data } = await stripe.invoices.list({ customer: customerId, limit: INVOICES_SHOWN });
      return data
        .filter(({ status }) => status !== "draft")
        .map((it) => ({
          id: it.id,
          number: it.number,
          at: new Date(it.created * 1000).toISOString(),
          cents: it.total,
          currency: it.currency,
          status: it.status ?? "draft",
          url: it.hosted_invoice_url ?? null,
          pdf: it.invoice_pdf ?? null,
        }));
    },

    async taxIds(customerId) {
      const { data } = await (await client()).customers.listTaxIds(customerId, { limit: 10 });
      return data.map(({ type, value }) => ({ type, value }));
    },

    async addTaxId(customerId, { type, value }) {
      const stripe = await client();
      await declining(stripe.customers.createTaxId(customerId, { type: type as Stripe.TaxIdCreateParams.Type, value }));
    },

    async event(raw, signature, nowMs) {
      const stripe = await client();
      for (const secret of config.webhookSecrets) {
        try {
          const it = await stripe.webhooks.constructEventAsync(
            raw,
            signature,
            secret,
            TOLERANCE_SECONDS,
            undefined,
            nowMs,
          );
          const event = eventShape.parse(it);
          return {
            id: event.id,
            type: event.type,
            at: event.created * 1000,
            customerId: event.data.object.customer ?? null,
          };
        } catch {
          // Another secret may fit. What fits none is not told why.
        }
      }
      return null;
    },
  };
}

async function declining<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    const { type, statusCode } = error as { type?: string; statusCode?: number };
    if (
      type === "StripeCardError" ||
      statusCode === 402 ||
      (type === "StripeInvalidRequestError" && statusCode === 400)
    ) {
      throw new Declined((error as Error).message, { cause: error });
    }
    throw error;
  }
}

/** Of Stripe's states, https://docs.stripe.com/api/subscriptions/object#subscription_object-status; others do not count. */
const STANDING: Readonly<Record<string, Subscription["standing"] | undefined>> = {
  active: "paid",
  trialing: "paid",
  past_due: "owing",
  unpaid: "owing",
  paused: "owing",
  canceled: "ended",
};

const customerId = z.union([z.string(), z.object({ id: z.string() }).transform(({ id }) => id)]).nullish();
const eventShape = z.object({
  id: z.string().max(255),
  type: z.string().max(255),
  created: z.number(),
  data: z.object({ object: z.object({ customer: customerId }) }),
});

const subscriptionShape = z.object({
  id: z.string(),
  status: z.string(),
  created: z.number(),
  cancel_at: z.number().nullable(),
  cancel_at_period_end: z.boolean(),
  ended_at: z.number().nullable(),
  cancellation_details: z.object({ reason: z.string().nullish() }).nullish(),
  items: z.object({
    data: z.array(
      z.object({
        current_period_start: z.number(),
        current_period_end: z.number(),
        price: z.object({ id: z.string() }),
      }),
    ),
  }),
});
type RawSubscription = z.infer<typeof subscriptionShape>;

const RANK = ["paid", "owing", "ended"];

/** Of several, the one that serves its owner best; of equals the newest. */
function chooseSubscription(all: readonly RawSubscription[]): RawSubscription | null {
  const rank = (it: RawSubscription) => RANK.indexOf(STANDING[it.status] ?? "");
  const counting = all.filter((it) => rank(it) >= 0);
  const living = counting.filter((it) => STANDING[it.status] !== "ended");
  // We never make a second one; somebody did, and it is for the operator to say which of them goes.
  if (living.length > 1) console.warn(JSON.stringify({ event: "two_subscriptions", ids: living.map(({ id }) => id) }));
  counting.sort((a, b) => rank(a) - rank(b) || b.created - a.created || (a.id < b.id ? 1 : -1));
  return counting[0] ?? null;
}
