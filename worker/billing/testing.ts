import { eq, sql } from "drizzle-orm";
import { inject } from "vitest";
import { billingAccounts } from "../../schema/db/index.ts";
import type { Command } from "../../schema/protocol/index.ts";
import { eventRequest, type StripeEvent, StripeStandIn } from "../../test/stand-ins/stripe.ts";
import { Client, startTestEdge, type TestEdge } from "../testing/edge.ts";
import { TestHost } from "../testing/host.ts";
import { createBilling } from "./index.ts";
import { DAY_MS } from "./rules.ts";

export const STRIPE_KEY = "sk_test_standin";
export const SECRET = "whsec_standin0123456789abcdef";
const STRIPE_ORIGIN = "https://stripe.example";
export const PRICES = { price_starter: 900, price_pro: 1900, price_team: 4900, price_pro_old: 1500 };
export const STRIPE_BINDING = {
  mode: "stripe",
  key: STRIPE_KEY,
  webhookSecrets: [SECRET],
  prices: { starter: ["price_starter"], pro: ["price_pro", "price_pro_old"], team: ["price_team"] },
  api: STRIPE_ORIGIN,
  pages: [STRIPE_ORIGIN],
};

/** The whole edge with a payment provider and a host, all on one clock that a test moves. */
export interface BillingLab {
  edge: TestEdge;
  host: TestHost;
  stripe: StripeStandIn;
  /** Another edge on the same database and hosts, with other settings. */
  edgeWith(billing: object): Promise<TestEdge>;
  /** The last command to the host about an agent. */
  told(tenantId: string): Command | undefined;
  /** A person who has just signed up. */
  person(): Promise<Payer>;
  /** Moves the clock in steps, as the cron would see it: events that come up are delivered, then the edge ticks. */
  forward(days: number, options?: { events?: boolean; stepDays?: number }): Promise<void>;
  deliver(event: StripeEvent, options?: { secret?: string; at?: number }): Promise<Response>;
  /** The body and signature by which an event would be delivered. */
  signed(event: StripeEvent, options?: { secret?: string; at?: number }): Promise<{ body: string; signature: string }>;
  /** Delivers what has happened since the last time. */
  deliverNew(): Promise<void>;
}

export class Payer extends Client {
  readonly stripe: StripeStandIn;
  #signedInAt: number;

  constructor(edge: TestEdge, stripe: StripeStandIn) {
    super(edge);
    this.stripe = stripe;
    this.#signedInAt = edge.world.now();
  }
  /** Sessions end on the way through the months: the person signs in again, as people do. */
  override async request(method: string, path: string, body?: unknown, headers?: Record<string, string>) {
    const now = this.edge.world.now();
    if (this.cookie && now - this.#signedInAt > 3_600_000) {
      const { email, password } = this;
      this.#signedInAt = now;
      this.cookie = "";
      await super.request("POST", "/api/auth/sign-in/email", { email, password });
    }
    return super.request(method, path, body, headers);
  }
  async account() {
    const rows = await this.edge.db
      .select()
      .from(billingAccounts)
      .where(eq(billingAccounts.ownerId, await this.id()));
    return rows[0];
  }
  async id(): Promise<string> {
    const session = await this.json<{ user: { id: string } }>("GET", "/api/auth/get-session");
    return session.body.user.id;
  }
  async post(path: string, form: Record<string, string> = {}): Promise<Response> {
    return this.request("POST", path, new URLSearchParams(form).toString(), {
      "content-type": "application/x-www-form-urlencoded",
      accept: "text/html",
    });
  }
  async page(path: string): Promise<string> {
    return (await this.request("GET", path, undefined, { accept: "text/html" })).text();
  }
  /** Presses a plan's button on the billing page and pays at the provider. */
  async subscribe(plan: string): Promise<void> {
    const answer = await this.post("/billing/checkout", { plan });
    if (answer.status !== 303) throw new Error(`no checkout: ${answer.status}`);
    const session = new URL(answer.headers.get("location") ?? "").pathname.split("/").at(-1) as string;
    this.stripe.pay(session);
  }
  async agents(): Promise<{ id: string; desired: string; held: boolean; plan: string }[]> {
    const { body } = await this.json<{ tenants: { id: string; desired: string; held: boolean; plan: string }[] }>(
      "GET",
      "/api/v1/tenants",
    );
    return body.tenants.filter(({ desired }) => desired !== "deleted");
  }
  /** Of what the billing room wrote to them. */
  mailSubjects(): string[] {
    const mine = this.edge.letters.filter(({ to, text }) => to === this.email && text.startsWith("Hello Test Person,"));
    return mine.map(({ subject }) => subject);
  }
}

export const desiredOf = async (payer: Payer) => (await payer.agents()).map(({ desired, held }) => [desired, held]);

/** The room alone, on a lab's database and provider. */
export function roomOf({ edge: { config, db, world }, stripe }: BillingLab) {
  const nothing = () => db.run(sql`select 1`);
  return createBilling({
    ...{ db, world, config: config.billing, dashboardOrigin: config.dashboardOrigin },
    hosts: { announce: nothing, deliver: async () => {}, crowded: async () => new Set(), keepPromises: () => [] },
    post: { posting: nothing },
    fetch: stripe.fetch as typeof fetch,
  });
}

export async function startBillingLab(billing: object = STRIPE_BINDING): Promise<BillingLab> {
  const host = await TestHost.make();
  const stripe = new StripeStandIn({
    key: STRIPE_KEY,
    prices: PRICES,
    origin: STRIPE_ORIGIN,
    now: Math.floor(Date.now() / 1000),
  });
  const reach = async (input: string | URL | Request, init?: RequestInit) =>
    new URL(input instanceof Request ? input.url : input).origin === STRIPE_ORIGIN
      ? stripe.fetch(input, init)
      : (host.fetch as typeof fetch)(input as string, init);
  // A database of its own: labs move their clocks by months, and their providers know nothing of each other.
  const database = (await (await fetch(inject("databases"), { method: "POST" })).json()) as Record<string, string>;
  const edgeWith: BillingLab["edgeWith"] = (settings) =>
    startTestEdge({ bindings: { ...database, BILLING: JSON.stringify(settings) }, fetch: reach as typeof fetch });
  const edge = await edgeWith(billing);
  host.now = edge.world.now;
  await host.enrol(edge);

  let delivered = 0;
  const signed: BillingLab["signed"] = async (event, { secret = SECRET, at = stripe.now } = {}) => {
    const request = await eventRequest(event, { url: edge.config.dashboardOrigin, secret, at });
    return { body: await request.text(), signature: request.headers.get("stripe-signature") ?? "" };
  };
  const deliver: BillingLab["deliver"] = async (event, options) => {
    const { body, signature } = await signed(event, options);
    return edge.send("/api/billing/events", { method: "POST", headers: { "stripe-signature": signature }, body });
  };
  const deliverNew = async () => {
    for (const event of stripe.events.slice(delivered)) await deliver(event);
    delivered = stripe.events.length;
  };
  return {
    ...{ edge, host, stripe, edgeWith, signed, deliver, deliverNew },
    told: (id) =>
      host.commands.findLast(
        (it) => (it.type === "tenant.apply" ? it.tenant.id : "tenantId" in it && it.tenantId) === id,
      ),
    person: () => new Payer(edge, stripe).signUp(),
    async forward(days, { events = true, stepDays = 1 } = {}) {
      for (let left = days * DAY_MS; left > 0; left -= stepDays * DAY_MS) {
        const step = Math.min(left, stepDays * DAY_MS);
        edge.world.forward(step);
        stripe.advance(step / 1000);
        if (events) await deliverNew();
        await edge.tick();
      }
    },
  };
}
