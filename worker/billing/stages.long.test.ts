import { and, eq, like } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { audit, secrets, tenants, user } from "../../schema/db/index.ts";
import { randomText } from "../testing/edge.ts";
import { type BillingLab, desiredOf, Payer, startBillingLab } from "./testing.ts";

let lab: BillingLab;
beforeAll(async () => {
  lab = await startBillingLab();
});

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

describe("dunning", () => {
  it("goes from a failed payment over grace, suspension and warning to deletion, each told once", async () => {
    const lab = await startBillingLab();
    const ada = await lab.person();
    const { body } = await ada.create(undefined, { secrets: { ANTHROPIC_API_KEY: "sk-ant-0123456789abcdefghij" } });
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
    expect(await lab.edge.db.select().from(secrets).where(eq(secrets.tenantId, body.id))).toEqual([]);
    expect(ada.mailSubjects()).toEqual([
      "A payment failed",
      "Your agents are stopped",
      "Your data will be deleted in 7 days",
      "Your agents are deleted",
    ]);
    const isOurs = and(eq(audit.subject, body.id), like(audit.action, "tenant.%"));
    const trail = await lab.edge.db.select().from(audit).where(isOurs).orderBy(audit.id);
    expect(trail.map(({ actor, action }) => `${actor.slice(0, 6)} ${action}`).slice(1)).toEqual([
      "system tenant.plan",
      "system tenant.hold",
      "system tenant.delete",
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

  it("tries one account while the provider is away, and not each of them in vain", async () => {
    const lab = await startBillingLab();
    for (let n = 0; n < 3; n += 1) await (await lab.person()).subscribe("pro");
    await lab.deliverNew();
    lab.stripe.down = true;
    const before = lab.stripe.calls.length;
    await lab.forward(2, { events: false, stepDays: 2 });
    expect(lab.stripe.calls.length - before).toBe(1);
  });
});
