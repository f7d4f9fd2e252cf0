import { sql } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { tenantStorage } from "../../schema/db/index.ts";
import { atomically, isGuardFailure } from "../db.ts";
import { agentsOf, settle } from "../tenants/service.ts";
import { type BillingLab, desiredOf, roomOf, startBillingLab } from "./testing.ts";

let lab: BillingLab;
beforeAll(async () => {
  lab = await startBillingLab();
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
    await lab.edge.db.insert(tenantStorage).values({
      ...{ tenantId: body.id, usedBytes: 1, limitBytes: 2, strays: 0, at: 0 },
      snapshots: '["20260101T000000Z"]',
    });
    const around = [["restore", { from: "20260101T000000Z" }] as const, ["move", undefined] as const];
    for (const [action, wish] of around) {
      const answer = await ada.json<{ code: string }>("POST", `/api/v1/tenants/${body.id}/${action}`, wish);
      expect([answer.status, answer.body.code], action).toEqual([402, "payment_required"]);
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
