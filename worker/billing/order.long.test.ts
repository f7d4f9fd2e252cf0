import { eq } from "drizzle-orm";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { billingAccounts, billingEvents, tenants } from "../../schema/db/index.ts";
import type { StripeEvent } from "../../test/stand-ins/stripe.ts";
import { DAY_MS } from "./rules.ts";
import { type BillingLab, type Payer, startBillingLab } from "./testing.ts";

let lab: BillingLab;
beforeAll(async () => {
  lab = await startBillingLab();
});

const ACTIONS = ["decline", "pay", "days", "month", "upgrade", "downgrade", "cancel", "resume", "end"] as const;
type Action = (typeof ACTIONS)[number];

/** Something happens at the provider. What it does not allow does not happen. */
function happen(action: Action, customerId: string): void {
  const { stripe } = lab;
  const sub = [...stripe.subscriptions.values()].findLast(({ customer }) => customer === customerId);
  if (!sub) throw new Error("no subscription");
  const update = (fields: Record<string, string>) => stripe.request("POST", `/v1/subscriptions/${sub.id}`, fields);
  const price = (plan: string) =>
    update({ "items[0][id]": sub.items.data[0]?.id ?? "", "items[0][price]": `price_${plan}` });
  const days = (n: number) => {
    lab.edge.world.forward(n * DAY_MS);
    stripe.advance((n * DAY_MS) / 1000);
  };
  const acts: Record<Action, () => unknown> = {
    decline: () => stripe.setCard(customerId, "declined"),
    pay: () => stripe.setCard(customerId, "good"),
    days: () => days(9),
    month: () => days(31),
    upgrade: () => price("team"),
    downgrade: () => price("starter"),
    cancel: () => update({ cancel_at_period_end: "true" }),
    resume: () => update({ cancel_at_period_end: "false" }),
    end: () => sub.status !== "canceled" && stripe.cancelNow(sub.id, "cancellation_requested"),
  };
  acts[action]();
}

/** What an owner has in the end: the row without the marks of when it was looked at, and their agents. */
async function outcome(ownerId: string) {
  const [row] = await lab.edge.db.select().from(billingAccounts).where(eq(billingAccounts.ownerId, ownerId));
  const agents = await lab.edge.db.select().from(tenants).where(eq(tenants.ownerId, ownerId)).orderBy(tenants.id);
  const { plan, standing, periodEndsAt, cancelsAt, owingSince, endedAt } = row ?? {};
  return {
    account: { plan, standing, periodEndsAt, cancelsAt, owingSince, endedAt },
    agents: agents.map(({ plan, desired, heldFrom }) => ({ plan, desired, heldFrom })),
  };
}

/** As if no event had ever come. */
async function forget(ownerId: string): Promise<void> {
  const nothing = { subscriptionId: null, plan: null, standing: null, owingSince: null, endedAt: null };
  await lab.edge.db.update(billingAccounts).set(nothing).where(eq(billingAccounts.ownerId, ownerId));
  await lab.edge.db.delete(billingEvents).where(eq(billingEvents.ownerId, ownerId));
  const fresh = { plan: "trial", desired: "running", heldFrom: null } as const;
  await lab.edge.db.update(tenants).set(fresh).where(eq(tenants.ownerId, ownerId));
}

async function deliverAll(events: readonly StripeEvent[], atOnce: number): Promise<void> {
  const rest = [...events];
  while (rest.length > 0) {
    const answers = await Promise.all(rest.splice(0, atOnce).map((event) => lab.deliver(event)));
    for (const answer of answers) {
      // What was too crowded is delivered again, as the provider does.
      if (answer.status !== 503) expect(answer.status).toBe(200);
    }
  }
}

const isAbout = (customerId: string) => (event: StripeEvent) =>
  (event.data.object as { customer?: string }).customer === customerId;

async function subscriber(): Promise<{ ada: Payer; ownerId: string; customerId: string }> {
  const ada = await lab.person();
  await ada.create();
  await ada.create();
  await ada.subscribe("pro");
  const account = await ada.account();
  return { ada, ownerId: account?.ownerId ?? "", customerId: account?.customerId ?? "" };
}

describe("a subscription's events", () => {
  it("give the same entitlement in every order, doubled, late, and many at once", async () => {
    const seed = Date.now() % 1_000_000_007;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom(...ACTIONS), { minLength: 1, maxLength: 6 }),
        fc.infiniteStream(fc.nat()),
        fc.integer({ min: 1, max: 4 }),
        async (actions, dice, atOnce) => {
          const { ownerId, customerId } = await subscriber();
          const known = () => lab.stripe.events.filter(isAbout(customerId));
          const roll = (n: number) => (dice.next().value as number) % n;
          // Some come while more is happening, others much later, some again and again.
          for (const action of actions) {
            happen(action, customerId);
            await deliverAll(
              known().filter(() => roll(3) === 0),
              atOnce,
            );
          }
          const shuffled = [...known(), ...known().filter(() => roll(2) === 0)]
            .map((event) => ({ event, at: roll(1_000_000) }))
            .sort((a, b) => a.at - b.at)
            .map(({ event }) => event);
          await deliverAll(shuffled, atOnce);
          await deliverAll(shuffled, 1);
          const shuffledOutcome = await outcome(ownerId);

          await forget(ownerId);
          await deliverAll(known(), 1);
          expect(shuffledOutcome).toEqual(await outcome(ownerId));
        },
      ),
      { seed, numRuns: 6, endOnFailure: true },
    );
    console.log(`seed ${seed}`);
  });

  it("cannot put an older word over a newer one: who asked earlier looks again", async () => {
    const { ownerId, customerId } = await subscriber();
    const first = lab.stripe.events.filter(isAbout(customerId)).at(-1);
    if (!first) throw new Error("nothing happened");
    // The first delivery has asked, and waits with its answer until the second one is through.
    const held = lab.stripe.holdAnswer("GET /v1/subscriptions");
    const early = lab.deliver(first);
    await held.asked;
    happen("end", customerId);
    const last = lab.stripe.events.filter(isAbout(customerId)).at(-1) as StripeEvent;
    expect((await lab.deliver(last)).status).toBe(200);
    held.release();
    expect((await early).status).toBe(200);
    expect((await outcome(ownerId)).account.standing).toBe("ended");
  });
});
