import type { Stripe } from "stripe";
import { z } from "zod";
import { PLAN_IDS, type PlanId } from "../tenants/index.ts";
import { Declined, type Payments } from "./payments.ts";
import type { StripeConfig } from "./rules.ts";
import { isEnded, readSubscription } from "./subscription.ts";

/** How old a webhook's signature may be. */
const TOLERANCE_SECONDS = 300;
const TIMEOUT_MS = 10_000;
/** Stripe takes at least 30 minutes; short, so that a forgotten tab cannot be paid tomorrow. */
const CHECKOUT_OPEN_SECONDS = 3_600;
const INVOICES_SHOWN = 24;
/** For what a page can do without: nobody waits for a provider that is away. */
const BRIEFLY = { timeout: 3_000, maxNetworkRetries: 0 };

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
      const read = readSubscription(data, planOfPrice);
      if (!read) return null;
      const { subscription, others } = read;
      // We never make a second one; somebody did, and it is for the operator to say which of them goes.
      if (others.length > 0) console.warn(JSON.stringify({ event: "two_subscriptions", customer: customerId, others }));
      if (subscription.owingSince === null) return subscription;
      return { ...subscription, owingSince: (await owingSince(stripe, subscription.id)) ?? subscription.owingSince };
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
        if (!isEnded(status)) throw error;
      }
    },

    async portal(customerId, backTo) {
      const stripe = await client();
      return (await stripe.billingPortal.sessions.create({ customer: customerId, return_url: backTo })).url;
    },

    async bills(customerId) {
      const stripe = await client();
      const { data } = await stripe.invoices.list({ customer: customerId, limit: INVOICES_SHOWN }, BRIEFLY);
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
      const { data } = await (await client()).customers.listTaxIds(customerId, { limit: 10 }, BRIEFLY);
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

const customerId = z.union([z.string(), z.object({ id: z.string() }).transform(({ id }) => id)]).nullish();
const eventShape = z.object({
  id: z.string().max(255),
  type: z.string().max(255),
  created: z.number(),
  data: z.object({ object: z.object({ customer: customerId }) }),
});
