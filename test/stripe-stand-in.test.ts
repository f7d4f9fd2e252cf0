import Stripe from "stripe";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type StripeServer, startStripeServer } from "./stand-ins/stripe-server.ts";

/** The stand-in as the official package meets it over HTTP: its tests of the product are worth what it is worth. */
let server: StripeServer;
let stripe: Stripe;
beforeAll(async () => {
  const options = { key: "sk_test_standin", prices: { price_small: 900, price_large: 1900 } };
  server = await startStripeServer(options, { webhook: "http://127.0.0.1:9/none", secret: "whsec_standin" });
  const { hostname: host, port } = new URL(server.origin);
  stripe = new Stripe(options.key, { host, port, protocol: "http", maxNetworkRetries: 0, telemetry: false });
});
afterAll(() => server.close());

const failure = (call: Promise<unknown>) =>
  call.then(
    () => "no failure",
    (error: { type: string; statusCode?: number }) => [error.type, error.statusCode],
  );
const customer = (idempotencyKey?: string, name = "Ada") =>
  stripe.customers.create({ name, email: "ada@example.com" }, idempotencyKey ? { idempotencyKey } : {});

async function subscribed(card: "good" | "declined" = "good") {
  const { id } = await customer();
  const session = await stripe.checkout.sessions.create({
    mode: "subscription",
    customer: id,
    line_items: [{ price: "price_small", quantity: 1 }],
    expires_at: server.stripe.now + 3_600,
    success_url: "http://localhost/done",
  });
  const form = new URLSearchParams({ card });
  const paid = await fetch(session.url ?? "", { method: "POST", body: form, redirect: "manual" });
  return { id, paid, subscription: (await stripe.subscriptions.list({ customer: id })).data[0] };
}

describe("the Stripe stand-in", () => {
  it("does the same key once, and refuses it with other words", async () => {
    const [first, second] = [await customer("once"), await customer("once")];
    expect(second.id).toBe(first.id);
    expect(await failure(customer("once", "Eve"))).toEqual(["StripeIdempotencyError", 400]);
    expect((await customer()).id).not.toBe(first.id);
  });

  it("keeps the effect of a call whose answer was lost", async () => {
    server.stripe.faults.push("after");
    expect(await failure(customer("lost"))).toEqual(["StripeAPIError", 500]);
    const before = server.stripe.customers.size;
    await customer("lost");
    expect(server.stripe.customers.size).toBe(before);
  });

  it("answers 401, 404, 429 and 500 as Stripe does", async () => {
    server.stripe.faults.push("rate_limited", "error");
    expect(await failure(customer())).toEqual(["StripeRateLimitError", 429]);
    expect(await failure(customer())).toEqual(["StripeAPIError", 500]);
    expect(await failure(stripe.subscriptions.retrieve("sub_none"))).toEqual(["StripeInvalidRequestError", 404]);
    const { hostname: host, port } = new URL(server.origin);
    const stranger = new Stripe("sk_test_other", { host, port, protocol: "http" });
    expect(await failure(stranger.customers.create({}))).toEqual(["StripeAuthenticationError", 401]);
  });

  it("sells on its page, and stays there when the card is declined", async () => {
    const declined = await subscribed("declined");
    expect([declined.paid.status, declined.subscription]).toEqual([402, undefined]);
    const good = await subscribed();
    expect([good.paid.status, good.paid.headers.get("location")]).toEqual([303, "http://localhost/done"]);
    expect(good.subscription?.status).toBe("active");
  });

  it("bills an upgrade for the rest of the period, and not at all when the card is declined", async () => {
    const { id, subscription } = await subscribed();
    const update = () =>
      stripe.subscriptions.update(subscription?.id ?? "", {
        items: [{ id: subscription?.items.data[0]?.id, price: "price_large" }],
        proration_behavior: "always_invoice",
        payment_behavior: "error_if_incomplete",
      });
    server.stripe.advance(15 * 86_400);
    server.stripe.setCard(id, "declined");
    expect(await failure(update())).toEqual(["StripeCardError", 402]);
    server.stripe.setCard(id, "good");
    await update();
    const { data } = await stripe.invoices.list({ customer: id });
    expect(data.map(({ total, status }) => [total, status])).toEqual([
      [500, "paid"],
      [900, "paid"],
    ]);
  });

  it("tries a failed payment again, gives up, and takes the money when there is a card again", async () => {
    const { id, subscription } = await subscribed();
    const status = async () => (await stripe.subscriptions.retrieve(subscription?.id ?? "")).status;
    server.stripe.setCard(id, "declined");
    server.stripe.advance(31 * 86_400);
    expect(await status()).toBe("past_due");
    server.stripe.advance(10 * 86_400);
    expect(await status()).toBe("unpaid");
    server.stripe.setCard(id, "good");
    expect(await status()).toBe("active");
  });
});
