import { and, eq, like, sql } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { audit, billingEvents, tenants, user } from "../../schema/db/index.ts";
import { atomically, isGuardFailure } from "../db.ts";
import { agentsOf, settle } from "../tenants/service.ts";
import { randomText } from "../testing/edge.ts";
import { createBilling } from "./index.ts";
import { type BillingLab, Payer, SECRET, STRIPE_BINDING, startBillingLab } from "./testing.ts";

let lab: BillingLab;
beforeAll(async () => {
  lab = await startBillingLab();
});

const desiredOf = async (payer: Payer) => (await payer.agents()).map(({ desired, held }) => [desired, held]);

/** The room alone, on a lab's database and provider. */
function roomOf({ edge: { config, db, world }, stripe }: BillingLab) {
  const nothing = () => db.run(sql`select 1`);
  return createBilling({
    ...{ db, world, config: config.billing, dashboardOrigin: config.dashboardOrigin },
    hosts: { announce: nothing, deliver: async () => {} },
    post: { posting: nothing },
    fetch: stripe.fetch as typeof fetch,
  });
}

describe("a trial", () => {
  it("begins at the sign-up without a card, is reminded of twice, and ends with everything kept", async () => {
    const lab = await startBillingLab();
    const ada = await lab.person();
    const { status, body } = await ada.create();
    expect(status).toBe(201);
    expect(await ada.page("/billing")).toMatch(/Everything of Pro, free until .*: 14 days are left/);
    await lab.forward(10.5, { stepDays: 3.5 });
    expect(ada.mailSubjects()).toEqual([]);
    await lab.forward(3);
    expect(ada.mailSubjects()).toEqual(["Your trial ends in 3 days", "Your trial ends in 1 day"]);
    expect(await desiredOf(ada)).toEqual([["running", false]]);
    await lab.forward(1);
    expect(ada.mailSubjects().at(-1)).toBe("Your trial has ended");
    expect(await desiredOf(ada)).toEqual([["stopped", true]]);
    expect(lab.told(body.id)).toMatchObject({ type: "tenant.apply", desired: "stopped" });

    await lab.forward(90, { stepDays: 10 });
    expect(await desiredOf(ada)).toEqual([["stopped", true]]);
    expect(ada.mailSubjects()).toHaveLength(3);
    expect(lab.stripe.calls).toEqual([]);

    await ada.subscribe("starter");
    await lab.deliverNew();
    expect(await desiredOf(ada)).toEqual([["running", false]]);
    expect(lab.told(body.id)).toMatchObject({ type: "tenant.apply", desired: "running" });
  });

  it("counts from the sign-up, not from the first look at it", async () => {
    const ada = await lab.person();
    const signedUp = Date.now() - 10 * 24 * 3_600_000;
    await lab.edge.db
      .update(user)
      .set({ createdAt: new Date(signedUp) })
      .where(eq(user.email, ada.email));
    await ada.page("/billing");
    expect((await ada.account())?.trialEndsAt).toBe(signedUp + 14 * 24 * 3_600_000);
  });

  it("starts anew for those who had agents before there was billing: nothing stops over night", async () => {
    const off = await lab.edgeWith({ mode: "off" });
    const early = await new Payer(off, lab.stripe).signUp();
    const now = lab.edge.world.now();
    await lab.edge.db
      .update(user)
      .set({ createdAt: new Date(0) })
      .where(eq(user.email, early.email));
    const id = `tnt_${"a".repeat(26)}`;
    const ownerId = await early.id();
    await lab.edge.db.insert(tenants).values({
      ...{ id, ownerId, slug: `t${randomText()}`, runtime: "echo", plan: "trial", hostId: "hst_x", desired: "running" },
      ...{ generation: 1, observed: "running", createdAt: 0, updatedAt: 0 },
    });
    await lab.edge.tick();
    const row = (await lab.edge.db.select().from(tenants).where(eq(tenants.id, id)))[0];
    expect(row).toMatchObject({ desired: "running", heldFrom: null });
    const trialEndsAt = (await early.account())?.trialEndsAt ?? 0;
    expect(trialEndsAt).toBeGreaterThanOrEqual(now + 14 * 24 * 3_600_000);
    await lab.edge.db.delete(tenants).where(eq(tenants.id, id));
  });
});

describe("without keys of the provider", () => {
  it("trials run and end, nobody can pay, and the page says so", async () => {
    const bare = await startBillingLab({ mode: "trial" });
    const ada = await bare.person();
    await ada.create();
    expect(await ada.page("/billing")).toContain("Payments are not set up on this installation yet");
    expect((await ada.post("/billing/checkout", { plan: "pro" })).status).toBe(404);
    expect((await bare.edge.send("/api/billing/events", { method: "POST", body: "{}" })).status).toBe(404);
    await bare.forward(15, { events: false, stepDays: 5 });
    expect(await desiredOf(ada)).toEqual([["stopped", true]]);
    expect((await ada.create()).body.code).toBe("payment_required");
  });

  it("and switched off, it holds nobody, and lets go whom it held", async () => {
    const bare = await startBillingLab({ mode: "trial" });
    const ada = await bare.person();
    await ada.create();
    await bare.forward(15, { events: false, stepDays: 5 });
    expect(await desiredOf(ada)).toEqual([["stopped", true]]);
    await (await bare.edgeWith({ mode: "off" })).tick();
    expect(await desiredOf(ada)).toEqual([["running", false]]);
  });
});

describe("what a plan gives", () => {
  it("is the limit at creation, also for many at once", async () => {
    const ada = await lab.person();
    const made = await Promise.all(Array.from({ length: 5 }, () => ada.create()));
    expect(made.map(({ status }) => status).sort()).toEqual([201, 201, 201, 409, 409]);
    expect(made.find(({ status }) => status === 409)?.body.code).toBe("too_many_tenants");
  });

  it("stands in the command to the host, and changes with the plan", async () => {
    const ada = await lab.person();
    const { status, body } = await ada.create(undefined, { runtime: "openclaw" });
    expect(status, JSON.stringify(body)).toBe(201);
    const limitsNow = () => {
      const told = lab.told(body.id);
      return told?.type === "tenant.apply" ? told.tenant.limits : null;
    };
    expect(limitsNow()).toMatchObject({ memoryMiB: 2048, cpuMillis: 2000, diskMiB: 8192, requestsPerMinute: 1200 });
    await ada.subscribe("team");
    await lab.deliverNew();
    expect(limitsNow()).toMatchObject({ memoryMiB: 2048, diskMiB: 16_384, requestsPerMinute: 3000, pids: 384 });
  });

  it("cannot be started around: a held agent answers 402 to its owner, by the API and on its page", async () => {
    const lab = await startBillingLab();
    const ada = await lab.person();
    const { body } = await ada.create();
    await lab.forward(15, { stepDays: 5 });
    for (const action of ["start", "restart"]) {
      const answer = await ada.json<{ code: string }>("POST", `/api/v1/tenants/${body.id}/${action}`);
      expect([answer.status, answer.body.code]).toEqual([402, "payment_required"]);
    }
    await ada.json("PUT", `/api/v1/tenants/${body.id}/secrets/ANTHROPIC_API_KEY`, {
      value: "sk-ant-0123456789abcdefghij",
    });
    expect(await desiredOf(ada)).toEqual([["stopped", true]]);
    const page = await ada.page(`/agents/${body.id}`);
    expect(page).toContain("Your account does not cover this agent");
    expect(page).not.toContain(`/agents/${body.id}/start`);
    expect((await ada.json("DELETE", `/api/v1/tenants/${body.id}`)).status).toBe(202);
  });

  it("does not start again what its owner had stopped", async () => {
    const lab = await startBillingLab();
    const ada = await lab.person();
    const { body } = await ada.create();
    await ada.json("POST", `/api/v1/tenants/${body.id}/stop`);
    await lab.forward(15, { stepDays: 5 });
    await ada.subscribe("pro");
    await lab.deliverNew();
    expect(await desiredOf(ada)).toEqual([["stopped", false]]);
  });
});

describe("a subscription", () => {
  it("is upgraded for the difference at once, downgraded as a credit, and never below what is in use", async () => {
    const ada = await lab.person();
    await ada.create();
    await ada.subscribe("starter");
    await lab.deliverNew();
    expect((await ada.create()).body.code).toBe("too_many_tenants");
    expect((await ada.post("/billing/change", { plan: "pro" })).status).toBe(303);
    const customer = (await ada.account())?.customerId as string;
    const bills = [...lab.stripe.invoices.values()].filter((it) => it.customer === customer);
    expect(bills.map(({ total, status }) => [total, status])).toEqual([
      [900, "paid"],
      [1000, "paid"],
    ]);
    await ada.create();
    const refused = await ada.post("/billing/change", { plan: "starter" });
    expect(refused.status).toBe(409);
    expect(await refused.text()).toContain("That plan has room for 1 and you have 2");
    const [newest] = await ada.agents();
    await ada.json("DELETE", `/api/v1/tenants/${newest?.id}`);
    expect((await ada.post("/billing/change", { plan: "starter" })).status).toBe(303);
    expect(lab.stripe.customers.get(customer)?.balance).toBe(-1000);
    expect((await ada.agents()).map(({ plan }) => plan)).toEqual(["starter"]);
  });

  it("stays as it was when the card for the upgrade is declined, and says so", async () => {
    const ada = await lab.person();
    await ada.subscribe("starter");
    await lab.deliverNew();
    const customer = (await ada.account())?.customerId as string;
    lab.stripe.setCard(customer, "declined");
    const answer = await ada.post("/billing/change", { plan: "team" });
    expect(answer.status).toBe(402);
    expect(await answer.text()).toContain("The payment was declined");
    expect(await ada.account()).toMatchObject({ plan: "starter", standing: "paid" });
  });

  it("ends at the end of its period when its owner wants that, and goes on when they change their mind", async () => {
    const lab = await startBillingLab();
    const ada = await lab.person();
    await ada.create();
    await ada.subscribe("pro");
    await lab.deliverNew();
    await ada.post("/billing/cancel");
    expect(await ada.page("/billing")).toContain("as you wished");
    await ada.post("/billing/resume");
    await lab.forward(31, { stepDays: 10 });
    expect(await ada.account()).toMatchObject({ standing: "paid", cancelsAt: null });
    await ada.post("/billing/cancel");
    await lab.forward(30, { stepDays: 10 });
    expect(await ada.account()).toMatchObject({ standing: "ended" });
    expect(await desiredOf(ada)).toEqual([["stopped", true]]);
  });

  it("of an old price is the plan that it was bought as", async () => {
    const ada = await lab.person();
    await ada.subscribe("pro");
    const customer = [...lab.stripe.subscriptions.values()].at(-1);
    if (customer?.items.data[0]) customer.items.data[0].price = { id: "price_pro_old" };
    await lab.deliverNew();
    expect(await ada.account()).toMatchObject({ plan: "pro", standing: "paid" });
  });

  it("shows its bills and takes a tax id, and says at the field what is wrong with one", async () => {
    const ada = await lab.person();
    await ada.subscribe("pro");
    await lab.deliverNew();
    const wrong = await ada.post("/billing/tax-id", { type: "eu_vat", value: "nonsense!" });
    expect(wrong.status).toBe(422);
    const text = await wrong.text();
    expect(text).toContain(`id="value-error"`);
    expect(text).toContain(`value="nonsense!"`);
    expect((await ada.post("/billing/tax-id", { type: "eu_vat", value: "DE123456789" })).status).toBe(303);
    const page = await ada.page("/billing");
    expect(page).toContain("DE123456789");
    expect(page).toContain("$19.00");
    const portal = await ada.post("/billing/portal");
    expect(portal.headers.get("location")).toMatch(/^https:\/\/stripe\.example\/p\/cus_/);
    expect(page).not.toMatch(/<script(?! type="module" src=)/);
    // A form's redirect is held to this as well: without it no browser would get to the checkout.
    expect(portal.headers.get("content-security-policy")).toMatch(/form-action [^;]* https:\/\/stripe\.example;/);
  });

  it("of somebody else is not theirs: the account is taken from the session alone", async () => {
    const ada = await lab.person();
    const eve = await lab.person();
    await ada.subscribe("pro");
    await lab.deliverNew();
    expect((await eve.post("/billing/cancel")).status).toBe(409);
    expect((await eve.post("/billing/portal")).status).toBe(409);
    expect(await eve.page("/billing")).not.toContain("STANDIN-");
    expect(await ada.account()).toMatchObject({ standing: "paid", cancelsAt: null });
  });

  it("is bought only from our own pages", async () => {
    const ada = await lab.person();
    const answer = await ada.request("POST", "/billing/checkout", "plan=team", {
      "content-type": "application/x-www-form-urlencoded",
      origin: "https://evil.example",
    });
    expect(answer.status).toBe(403);
    expect(await ada.account()).toBeUndefined();
  });
});

describe("dunning", () => {
  it("goes from a failed payment over grace, suspension and warning to deletion, each told once", async () => {
    const lab = await startBillingLab();
    const ada = await lab.person();
    const { body } = await ada.create();
    await ada.subscribe("pro");
    await lab.deliverNew();
    lab.stripe.setCard((await ada.account())?.customerId as string, "declined");
    await lab.forward(31, { stepDays: 10 });
    expect(ada.mailSubjects()).toEqual(["A payment failed"]);
    expect(await desiredOf(ada)).toEqual([["running", false]]);
    await lab.forward(7);
    expect(await desiredOf(ada)).toEqual([["stopped", true]]);
    await lab.forward(28, { stepDays: 7 });
    expect(await desiredOf(ada)).toEqual([["stopped", true]]);
    await lab.forward(2);
    expect(ada.mailSubjects().at(-1)).toBe("Your data will be deleted in 7 days");
    await lab.forward(5);
    expect(lab.host.commands.some(({ type }) => type === "tenant.purge")).toBe(false);
    await lab.forward(3);
    expect(lab.told(body.id)).toMatchObject({ type: "tenant.purge" });
    expect(ada.mailSubjects()).toEqual([
      ...[
        "A payment failed",
        "Your agents are stopped",
        "Your data will be deleted in 7 days",
        "Your agents are deleted",
      ],
    ]);
    const isOurs = and(eq(audit.subject, body.id), like(audit.action, "tenant.%"));
    const trail = await lab.edge.db.select().from(audit).where(isOurs).orderBy(audit.id);
    expect(trail.map(({ actor, action }) => `${actor.slice(0, 6)} ${action}`).slice(1)).toEqual([
      ...["system tenant.plan", "system tenant.hold", "system tenant.delete"],
    ]);
  });

  it.each([
    ["in the grace", 32],
    ["while stopped", 45],
    ["after the warning", 69.5],
  ])("is undone by paying %s", async (_when, days) => {
    const lab = await startBillingLab();
    const ada = await lab.person();
    await ada.create();
    await ada.subscribe("pro");
    await lab.deliverNew();
    const customer = (await ada.account())?.customerId as string;
    lab.stripe.setCard(customer, "declined");
    await lab.forward(days, { stepDays: 9 });
    expect(await ada.account()).toMatchObject({ standing: "owing" });
    lab.stripe.setCard(customer, "good");
    await lab.deliverNew();
    expect(await ada.account()).toMatchObject({ standing: "paid", owingSince: null });
    expect(await desiredOf(ada)).toEqual([["running", false]]);
    await lab.forward(10, { stepDays: 5 });
    expect(await desiredOf(ada)).toEqual([["running", false]]);
  });

  it("needs no event: the clock asks by itself", async () => {
    const lab = await startBillingLab();
    const ada = await lab.person();
    await ada.create();
    await ada.subscribe("pro");
    await ada.page("/billing?done=checkout");
    lab.stripe.setCard((await ada.account())?.customerId as string, "declined");
    await lab.forward(40, { events: false, stepDays: 4 });
    expect(await desiredOf(ada)).toEqual([["stopped", true]]);
  });

  it("concludes nothing while the provider does not answer, and does not let one account hold up the others", async () => {
    const lab = await startBillingLab();
    const ada = await lab.person();
    const eve = await lab.person();
    await ada.create();
    await eve.create();
    await ada.subscribe("pro");
    await lab.deliverNew();
    lab.stripe.setCard((await ada.account())?.customerId as string, "declined");
    await lab.forward(31, { stepDays: 10 });
    lab.stripe.down = true;
    await lab.forward(10, { events: false, stepDays: 2 });
    expect(await desiredOf(ada)).toEqual([["running", false]]);
    expect(await desiredOf(eve)).toEqual([["stopped", true]]);
    lab.stripe.down = false;
    await lab.forward(0.5, { events: false });
    expect(await desiredOf(ada)).toEqual([["stopped", true]]);
  });
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
      ...["known", "known", "known", "known", "taken"],
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

describe("two at once", () => {
  it("a creation that began before the account lost its right to it does not go through", async () => {
    const lab = await startBillingLab();
    const ada = await lab.person();
    await ada.create();
    const ownerId = await ada.id();
    const { db } = lab.edge;
    const billing = roomOf(lab);
    const seen = await billing.allowanceOf(ownerId);
    expect(seen.tenants).toBe(3);
    await lab.forward(15, { stepDays: 15 });
    await expect(atomically(db, seen.still)).rejects.toSatisfy(isGuardFailure);
    expect((await billing.allowanceOf(ownerId)).tenants).toBe(0);
  });

  it("a suspension that did not see the newest agent looks again", async () => {
    const ada = await lab.person();
    const ownerId = await ada.id();
    const { db } = lab.edge;
    const rows = await agentsOf(db, ownerId);
    await ada.create();
    const allowance = { plan: "pro", tenants: 0, remove: false };
    const { statements } = settle(db, { ownerId, rows, allowance }, () => db.run(sql`select 1`), 0);
    await expect(atomically(db, statements)).rejects.toSatisfy(isGuardFailure);
  });
});

describe("the API", () => {
  it("does what the page does, for a session", async () => {
    const ada = await lab.person();
    const read = async () => (await ada.json<Record<string, unknown>>("GET", "/api/v1/billing")).body;
    expect(await read()).toMatchObject({ stage: "trial", plan: "pro", agents: { used: 0, allowed: 3 } });
    const { body } = await ada.json<{ url: string }>("POST", "/api/v1/billing/checkout", { plan: "starter" });
    lab.stripe.pay(new URL(body.url).pathname.split("/").at(-1) as string);
    await lab.deliverNew();
    expect(await read()).toMatchObject({ stage: "paid", plan: "starter", subscription: { standing: "paid" } });
    expect((await ada.json("PUT", "/api/v1/billing/plan", { plan: "team" })).body).toMatchObject({ plan: "team" });
    expect((await ada.json<{ bills: object[] }>("GET", "/api/v1/billing/papers")).body.bills).toHaveLength(2);
    const answer = await ada.json<{ code: string }>("PUT", "/api/v1/billing/plan", { plan: "gold" });
    expect([answer.status, answer.body.code]).toEqual([400, "invalid_body"]);
  });

  it("is nobody's without a session", async () => {
    for (const path of ["", "/papers"]) {
      expect((await lab.edge.send(`/api/v1/billing${path}`)).status).toBe(401);
    }
  });
});

describe("closing an account", () => {
  it("ends its subscription at once, also when asked twice", async () => {
    const ada = await lab.person();
    await ada.subscribe("pro");
    const billing = roomOf(lab);
    await billing.close(await ada.id());
    await billing.close(await ada.id());
    expect([...lab.stripe.subscriptions.values()].at(-1)?.status).toBe("canceled");
  });
});
