import { eq } from "drizzle-orm";
import { billingAccounts, mails } from "../../schema/db/index.ts";
import { eventRequest, type StripeEvent, StripeStandIn } from "../../test/stand-ins/stripe.ts";
import { Client, startTestEdge, type TestEdge } from "../testing/edge.ts";
import { TestHost } from "../testing/host.ts";
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
  /** A person who has just signed up. */
  person(): Promise<Payer>;
  /** Moves the clock in steps, as the cron would see it: events that come up are delivered, then the edge ticks. */
  forward(days: number, options?: { events?: boolean }): Promise<void>;
  deliver(event: StripeEvent, options?: { secret?: string; at?: number }): Promise<Response>;
  /** Delivers what has happened since the last time. */
  deliverNew(): Promise<void>;
}

export class Payer extends Client {
  readonly stripe: StripeStandIn;
  constructor(edge: TestEdge, stripe: StripeStandIn) {
    super(edge);
    this.stripe = stripe;
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
    return (await this.json<{ tenants: never[] }>("GET", "/api/v1/tenants")).body.tenants;
  }
  async mailSubjects(): Promise<string[]> {
    const rows = await this.edge.db.select().from(mails).where(eq(mails.recipient, this.email)).orderBy(mails.id);
    return rows.map(({ subject }) => subject).filter((subject) => !/confirm|verify|address/i.test(subject));
  }
}

export async function startBillingLab(billing: object = STRIPE_BINDING): Promise<BillingLab> {
  const host = await TestHost.make();
  const stripe = new StripeStandIn({
    key: STRIPE_KEY,
    prices: PRICES,
    origin: STRIPE_ORIGIN,
    now: Math.floor(Date.now() / 1000),
  });
  const fetch = async (input: string | URL | Request, init?: RequestInit) =>
    new URL(input instanceof Request ? input.url : input).origin === STRIPE_ORIGIN
      ? stripe.fetch(input, init)
      : (host.fetch as typeof globalThis.fetch)(input as string, init);
  const edge = await startTestEdge({
    bindings: { BILLING: JSON.stringify(billing) },
    fetch: fetch as typeof globalThis.fetch,
  });
  await host.enrol(edge);

  let delivered = 0;
  const deliver: BillingLab["deliver"] = async (event, { secret = SECRET, at = stripe.now } = {}) => {
    const request = await eventRequest(event, { url: `${edge.config.dashboardOrigin}/api/billing/events`, secret, at });
    return edge.send("/api/billing/events", {
      method: "POST",
      headers: [...request.headers] as [string, string][],
      body: await request.text(),
    });
  };
  const deliverNew = async () => {
    for (const event of stripe.events.slice(delivered)) await deliver(event);
    delivered = stripe.events.length;
  };
  return {
    ...{ edge, host, stripe, deliver, deliverNew },
    person: () => new Payer(edge, stripe).signUp(),
    async forward(days, { events = true } = {}) {
      for (let left = days * DAY_MS; left > 0; left -= DAY_MS / 2) {
        const step = Math.min(left, DAY_MS / 2);
        edge.world.forward(step);
        stripe.advance(step / 1000);
        if (events) await deliverNew();
        await edge.tick();
      }
    },
  };
}
