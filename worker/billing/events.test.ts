import { eq } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { billingEvents } from "../../schema/db/index.ts";
import { type BillingLab, SECRET, STRIPE_BINDING, startBillingLab } from "./testing.ts";

let lab: BillingLab;
beforeAll(async () => {
  lab = await startBillingLab();
});

describe("an event", () => {
  const one = async (lab: BillingLab) => {
    const ada = await lab.person();
    await ada.subscribe("pro");
    const event = lab.stripe.events.at(-1);
    if (!event) throw new Error("nothing happened");
    return { ada, event };
  };

  it("is taken once: the same again changes nothing and is answered well", async () => {
    const { ada, event } = await one(lab);
    expect(await (await lab.deliver(event)).text()).toBe("taken");
    const before = await ada.account();
    const again = await Promise.all([lab.deliver(event), lab.deliver(event), lab.deliver(event)]);
    expect(await Promise.all(again.map((answer) => answer.text()))).toEqual(["known", "known", "known"]);
    expect(await ada.account()).toEqual(before);
  });

  it("that comes five times at once is taken once", async () => {
    const { event } = await one(lab);
    const answers = await Promise.all(Array.from({ length: 5 }, () => lab.deliver(event)));
    expect((await Promise.all(answers.map((answer) => answer.text()))).sort()).toEqual([
      "known",
      "known",
      "known",
      "known",
      "taken",
    ]);
    expect(await lab.edge.db.select().from(billingEvents).where(eq(billingEvents.id, event.id))).toHaveLength(1);
  });

  it("is refused with a signature of another secret, of other bytes, too old, or none", async () => {
    const { ada, event } = await one(lab);
    const send = (body: string, signature: string) =>
      lab.edge.send("/api/billing/events", { method: "POST", body, headers: { "stripe-signature": signature } });
    const good = await lab.signed(event);
    const refused = [
      await lab.deliver(event, { secret: "whsec_of_somebody_else_0123456789" }),
      await lab.deliver(event, { at: Math.floor(lab.edge.world.now() / 1000) - 301 }),
      await send(good.body.replace("customer", "kustomer"), good.signature),
      await send(`${good.body} `, good.signature),
      await send(good.body, ""),
      await send(good.body, good.signature.replace("v1=", "v0=")),
      await send(
        good.body,
        good.signature.replace(/t=\d+/, (t) => `t=${Number(t.slice(2)) + 1}`),
      ),
    ];
    for (const answer of refused) {
      expect(answer.status).toBe(400);
      expect(await answer.text()).toBe("signature refused");
    }
    expect(await ada.account()).toMatchObject({ standing: null });
    expect((await send(good.body, good.signature)).status).toBe(200);
  });

  it("signed with the old or the new secret is good while both are kept, and with the old one no longer after", async () => {
    const next = "whsec_next0123456789abcdef";
    const both = await startBillingLab({ ...STRIPE_BINDING, webhookSecrets: [next, SECRET] });
    const { event } = await one(both);
    expect((await both.deliver(event, { secret: SECRET })).status).toBe(200);
    expect((await both.deliver(event, { secret: next })).status).toBe(200);
    const after = await startBillingLab({ ...STRIPE_BINDING, webhookSecrets: [next] });
    const later = await one(after);
    expect((await after.deliver(later.event, { secret: SECRET })).status).toBe(400);
    expect((await after.deliver(later.event, { secret: next })).status).toBe(200);
  });

  it("about nobody of ours is answered well and forgotten", async () => {
    const { event } = await one(lab);
    const answer = await lab.deliver({ ...event, id: "evt_foreign", data: { object: { customer: "cus_foreign" } } });
    expect(await answer.text()).toBe("not ours");
  });

  it("is asked for again when the provider did not answer, and then has its effect", async () => {
    const { ada, event } = await one(lab);
    lab.stripe.faults.push("rate_limited");
    expect((await lab.deliver(event)).status).toBe(503);
    expect(await ada.account()).toMatchObject({ standing: null });
    expect((await lab.deliver(event)).status).toBe(200);
    expect(await ada.account()).toMatchObject({ standing: "paid" });
  });
});
