import { createExecutionContext } from "cloudflare:test";
import { beforeAll, describe, expect, it } from "vitest";
import type { StripeEvent } from "../../test/stand-ins/stripe.ts";
import { openDatabase } from "../db.ts";
import { createEdge } from "../edge.ts";
import { type BillingLab, type Payer, startBillingLab } from "./testing.ts";

let lab: BillingLab;
beforeAll(async () => {
  lab = await startBillingLab();
});

/**
 * An edge that ends at its `limit`th word to the outside, database or provider: that word still has its effect, its
 * answer is not heard any more, and nothing is said after it.
 */
function mortalEdge(limit: number) {
  let said = 0;
  const dying =
    (reach: typeof fetch, death: () => Response): typeof fetch =>
    async (input, init) => {
      said += 1;
      if (said > limit) return death();
      const answer = await reach(input, init);
      return said === limit ? death() : answer;
    };
  const { config, world } = lab.edge;
  const thrown = () => {
    throw new Error("ended here");
  };
  const edge = createEdge(config, {
    world,
    db: openDatabase(config.database, dying(fetch, thrown)),
    // The package would try again on a broken line, which a dead process does not.
    payments: dying(lab.stripe.fetch as typeof fetch, () =>
      Response.json(
        { error: { type: "api_error", message: "ended here" } },
        {
          status: 500,
          headers: { "stripe-should-retry": "false" },
        },
      ),
    ),
  });
  const ask = (payer: Payer, plan: string) =>
    edge.app.fetch(
      new Request(`${config.dashboardOrigin}/billing/checkout`, {
        method: "POST",
        redirect: "manual",
        headers: { origin: config.dashboardOrigin, cookie: payer.cookie, accept: "text/html" },
        body: new URLSearchParams({ plan }),
      }),
      {},
      createExecutionContext(),
    );
  return { ask, survived: () => said < limit };
}

const mine = (payer: { email: string }) => {
  const customers = [...lab.stripe.customers.values()].filter(({ email }) => email === payer.email);
  const ids = customers.map(({ id }) => id);
  const of = <T extends { customer: string }>(all: Iterable<T>) =>
    [...all].filter(({ customer }) => ids.includes(customer));
  return {
    customers,
    sessions: of(lab.stripe.sessions.values()),
    subscriptions: of(lab.stripe.subscriptions.values()),
  };
};

/** Whoever has many tabs open pays in every one of them. */
function payEverything(payer: Payer): void {
  for (const { id } of mine(payer).sessions) lab.stripe.pay(id);
}

describe("an edge that ends anywhere on the way to a checkout", () => {
  // Every word with the same plan; with another one, every third.
  it.each([
    ["the same plan", "pro", 1],
    ["another plan", "team", 3],
  ])(
    "leaves exactly one customer and one subscription when its owner tries %s again",
    {
      timeout: 180_000,
    },
    async (_what, second, step) => {
      for (let limit = 1; ; limit += step) {
        const ada = await lab.person();
        const mortal = mortalEdge(limit);
        const answer = await mortal.ask(ada, "pro");
        if (!mortal.survived()) expect(answer.status, `word ${limit}`).toBe(500);
        // A person who saw an address may come back to it after having asked for another one.
        const again = await ada.post("/billing/checkout", { plan: second });
        expect(again.status, `word ${limit}`).toBe(303);
        expect(
          mine(ada).sessions.filter(({ status }) => status === "open"),
          `word ${limit}`,
        ).toHaveLength(1);
        payEverything(ada);
        await lab.deliver(lab.stripe.events.at(-1) as StripeEvent);
        expect(mine(ada).customers, `word ${limit}`).toHaveLength(1);
        expect(mine(ada).subscriptions, `word ${limit}`).toHaveLength(1);
        expect(await ada.account()).toMatchObject({ plan: second, standing: "paid" });
        expect((await ada.post("/billing/checkout", { plan: "team" })).status).toBe(409);
        if (mortal.survived()) {
          expect(limit).toBeGreaterThan(8);
          return;
        }
      }
    },
  );
});

describe("a checkout", () => {
  it("asked for in many tabs at once can be paid once", async () => {
    const ada = await lab.person();
    const plans = ["starter", "pro", "team", "pro"];
    const answers = await Promise.all(plans.map((plan) => ada.post("/billing/checkout", { plan })));
    expect(answers.some(({ status }) => status === 303)).toBe(true);
    payEverything(ada);
    await lab.deliverNew();
    expect(mine(ada).subscriptions).toHaveLength(1);
    expect(mine(ada).customers).toHaveLength(1);
  });

  it("that was left is offered again, and one of another plan takes its place", async () => {
    const ada = await lab.person();
    const at = async (plan: string) => (await ada.post("/billing/checkout", { plan })).headers.get("location");
    const first = await at("pro");
    expect(await at("pro")).toBe(first);
    const other = await at("team");
    expect(other).not.toBe(first);
    expect(mine(ada).sessions.map(({ status }) => status)).toEqual(["expired", "open"]);
    expect(await at("pro")).not.toBe(first);
  });

  it("begins anew when an earlier one has run out, and after a subscription has ended", async () => {
    const lab = await startBillingLab();
    const ada = await lab.person();
    const first = (await ada.post("/billing/checkout", { plan: "pro" })).headers.get("location");
    await lab.forward(0.1);
    const second = (await ada.post("/billing/checkout", { plan: "pro" })).headers.get("location");
    expect(second).not.toBe(first);
    await ada.subscribe("pro");
    lab.stripe.cancelNow([...lab.stripe.subscriptions.keys()][0] as string, "cancellation_requested");
    await ada.subscribe("pro");
    await lab.deliverNew();
    expect(await ada.account()).toMatchObject({ plan: "pro", standing: "paid" });
  });

  it("answers 503 and changes nothing while the provider is away", async () => {
    const ada = await lab.person();
    lab.stripe.down = true;
    const answer = await ada.post("/billing/checkout", { plan: "pro" });
    lab.stripe.down = false;
    expect(answer.status).toBe(503);
    expect(await answer.text()).toContain("The payment provider does not answer right now");
    expect(mine(ada)).toEqual({ customers: [], sessions: [], subscriptions: [] });
  });

  it("survives lost answers: the package asks again with the same key", async () => {
    const ada = await lab.person();
    lab.stripe.faults.push("after", "error");
    expect((await ada.post("/billing/checkout", { plan: "pro" })).status).toBe(303);
    expect(mine(ada)).toMatchObject({ customers: [{}], sessions: [{}] });
  });

  it("of a plan that there is not is refused", async () => {
    const ada = await lab.person();
    expect((await ada.post("/billing/checkout", { plan: "free" })).status).toBe(400);
    expect((await ada.post("/billing/change", { plan: "team" })).status).toBe(409);
  });
});
