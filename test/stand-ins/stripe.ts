import Stripe from "stripe";
import type { Customer, Invoice, Session, StripeEvent, Sub } from "./stripe-types.ts";

export type { StripeEvent } from "./stripe-types.ts";

import { CHECKOUT_PAGE, formFields, PORTAL_PAGE, StripeError } from "./stripe-wire.ts";

const DAY = 86_400;
const PERIOD = 30 * DAY;
/** After a failed payment, as far as Stripe's own default goes: again after 3, 5 and 7 days, then it gives up. */
const RETRIES = [3 * DAY, 5 * DAY, 7 * DAY];
const KEY_KEPT = DAY;

export interface StripeStandInOptions {
  key: string;
  /** Price id → cents a month. */
  prices: Readonly<Record<string, number>>;
  /** Its own origin, for the pages that it serves. */
  origin: string;
  /** In seconds. */
  now: number;
}

/**
 * Stripe as far as this product uses it, with a memory and a clock of its own: customers, checkout, subscriptions with
 * proration, bills, failed payments and their repetition, the portal, idempotency keys, errors, and events signed by the
 * official package. Reference: docs.stripe.com/api, "Idempotent requests", "Subscription lifecycle", "Prorations".
 */
export class StripeStandIn {
  now: number;
  readonly origin: string;
  readonly customers = new Map<string, Customer>();
  readonly sessions = new Map<string, Session>();
  readonly subscriptions = new Map<string, Sub>();
  readonly invoices = new Map<string, Invoice>();
  /** Every event there ever was, in the order in which things happened. */
  readonly events: StripeEvent[] = [];
  /** Every call of the API: `POST /v1/customers`. */
  readonly calls: string[] = [];
  /** What befalls the next calls. `after`: the effect stays, the answer is lost. */
  readonly faults: ("rate_limited" | "error" | "after")[] = [];
  /** Every call is refused. */
  down = false;
  /** What becomes of a subscription when all repetitions of a payment failed. */
  finally: "canceled" | "unpaid" = "unpaid";
  readonly #prices: Readonly<Record<string, number>>;
  readonly #key: string;
  readonly #keys = new Map<string, { asked: string; at: number; answer: { status: number; body: unknown } }>();
  #held: { call: string; seen: () => void; until: Promise<void> } | null = null;
  #next = 1;

  constructor({ key, prices, origin, now }: StripeStandInOptions) {
    this.#key = key;
    this.#prices = prices;
    this.origin = origin;
    this.now = now;
  }

  /** The API and the pages, as `fetch` or a server sees them. */
  fetch = async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const request = new Request(input, init);
    const url = new URL(request.url);
    const body = formFields(new TextDecoder().decode(await request.arrayBuffer()));
    if (!url.pathname.startsWith("/v1/")) return this.#page(request.method, url, body);
    const json = (status: number, value: unknown, headers: Record<string, string> = {}) =>
      Response.json(value, { status, headers: { "request-id": `req_${this.#next++}`, ...headers } });
    if (request.headers.get("authorization") !== `Bearer ${this.#key}`) {
      return json(401, new StripeError(401, "invalid_request_error", "Invalid API Key provided").body);
    }
    this.calls.push(`${request.method} ${url.pathname}`);
    const fault = this.faults.shift();
    if (fault === "rate_limited" || this.down) {
      return json(429, new StripeError(429, "invalid_request_error", "Too many requests", "rate_limit").body);
    }
    if (fault === "error") return json(500, new StripeError(500, "api_error", "Something went wrong").body);
    const answer = this.#once(request.headers.get("idempotency-key"), request.method, url, body);
    await this.#holding(`${request.method} ${url.pathname}`);
    if (fault === "after") return json(500, new StripeError(500, "api_error", "The answer was lost").body);
    return json(answer.status, answer.body);
  };

  /** The next answer to such a call is on its way for as long as the test wants. */
  holdAnswer(call: string): { asked: Promise<void>; release(): void } {
    const asked = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    this.#held = { call, seen: asked.resolve, until: released.promise };
    return { asked: asked.promise, release: released.resolve };
  }
  async #holding(call: string): Promise<void> {
    const held = this.#held;
    if (held?.call !== call) return;
    this.#held = null;
    held.seen();
    await held.until;
  }

  /** One call of the API from within: what an operator, or another of the provider's pages, does. */
  request(method: string, path: string, fields: Record<string, string>): unknown {
    try {
      return this.#act(method, new URL(path, this.origin), fields);
    } catch (error) {
      if (error instanceof StripeError) return error.body;
      throw error;
    }
  }

  /** The same key gives the same answer; with other parameters it is refused. Refusals before any effect are not kept. */
  #once(key: string | null, method: string, url: URL, body: Record<string, string>) {
    const asked = `${method} ${url.pathname} ${JSON.stringify(body)}`;
    const known = key !== null && method === "POST" ? this.#keys.get(key) : undefined;
    if (known && known.at > this.now - KEY_KEPT) {
      if (known.asked === asked) return known.answer;
      const text = "Keys for idempotent requests can only be used with the same parameters they were first used with.";
      return { status: 400, body: new StripeError(400, "idempotency_error", text).body };
    }
    let answer: { status: number; body: unknown };
    try {
      answer = { status: 200, body: structuredClone(this.#act(method, url, body)) };
    } catch (error) {
      if (!(error instanceof StripeError)) throw error;
      answer = { status: error.status, body: error.body };
      if (error.status === 400 || error.status === 404) return answer;
    }
    if (key !== null && method === "POST") this.#keys.set(key, { asked, at: this.now, answer });
    return answer;
  }

  #act(method: string, url: URL, body: Record<string, string>): unknown {
    const [, , ...path] = url.pathname.split("/");
    const query = Object.fromEntries(url.searchParams);
    const route = `${method} ${path.join("/").replace(/(cus|cs|sub|in)_\w+/, ":id")}`;
    const id = path.find((part) => /^(cus|cs|sub|in)_/.test(part)) ?? "";
    switch (route) {
      case "POST customers":
        return this.#createCustomer(body);
      case "GET customers/:id/tax_ids":
        return list(this.#customer(id).tax_ids);
      case "POST customers/:id/tax_ids":
        return this.#addTaxId(this.#customer(id), body);
      case "POST checkout/sessions":
        return this.#createSession(body);
      case "GET checkout/sessions":
        return list(
          [...this.sessions.values()].filter(
            (it) => it.customer === query.customer && (!query.status || it.status === query.status),
          ),
        );
      case "GET checkout/sessions/:id":
        return found(this.sessions.get(id), id);
      case "POST checkout/sessions/:id/expire":
        return this.#expire(found(this.sessions.get(id), id));
      case "GET subscriptions":
        this.#customer(query.customer ?? "");
        return list([...this.subscriptions.values()].filter((it) => it.customer === query.customer));
      case "GET subscriptions/:id":
        return found(this.subscriptions.get(id), id);
      case "POST subscriptions/:id":
        return this.#update(found(this.subscriptions.get(id), id), body);
      case "DELETE subscriptions/:id":
        return this.cancelNow(id, "cancellation_requested");
      case "GET invoices":
        return list(
          [...this.invoices.values()]
            .filter((it) => !query.customer || it.customer === query.customer)
            .filter((it) => !query.subscription || it.subscription === query.subscription)
            .filter((it) => !query.status || it.status === query.status)
            .reverse(),
        );
      case "POST billing_portal/sessions":
        this.#customer(body.customer ?? "");
        return { id: this.#id("bps"), object: "billing_portal.session", url: this.#portalUrl(body) };
    }
    throw new StripeError(404, "invalid_request_error", `Unrecognized request URL (${route})`);
  }

  #id(prefix: string): string {
    return `${prefix}_standin${String(this.#next++).padStart(6, "0")}`;
  }
  #customer = (id: string) => found(this.customers.get(id), id);
  #portalUrl = (body: Record<string, string>) =>
    `${this.origin}/p/${body.customer}?back=${encodeURIComponent(body.return_url ?? "")}`;

  #emit(type: string, object: unknown): void {
    const data = { object: structuredClone(object) };
    this.events.push({ id: this.#id("evt"), object: "event", type, created: this.now, livemode: false, data });
  }

  #createCustomer(body: Record<string, string>): Customer {
    const customer: Customer = {
      id: this.#id("cus"),
      object: "customer",
      created: this.now,
      email: body.email ?? "",
      name: body.name ?? "",
      metadata: { owner: body["metadata[owner]"] ?? "" },
      card: null,
      balance: 0,
      tax_ids: [],
    };
    this.customers.set(customer.id, customer);
    this.#emit("customer.created", customer);
    return customer;
  }

  #addTaxId(customer: Customer, { type = "", value = "" }: Record<string, string>) {
    if (type === "eu_vat" && !/^[A-Z]{2}[0-9A-Z]{8,12}$/.test(value)) {
      throw new StripeError(400, "invalid_request_error", "Invalid value for eu_vat.", "tax_id_invalid");
    }
    const taxId = { id: this.#id("txi"), object: "tax_id" as const, type, value };
    customer.tax_ids.push(taxId);
    return taxId;
  }

  #price(price: string): number {
    const cents = this.#prices[price];
    if (cents === undefined) throw new StripeError(400, "invalid_request_error", `No such price: '${price}'`);
    return cents;
  }

  #createSession(body: Record<string, string>): Session {
    const customer = this.#customer(body.customer ?? "");
    const price = body["line_items[0][price]"] ?? "";
    this.#price(price);
    const expires = Number(body.expires_at);
    if (!(expires >= this.now + 1_800 && expires <= this.now + DAY)) {
      throw new StripeError(
        400,
        "invalid_request_error",
        "The expires_at timestamp must be 30 minutes to 24 hours away.",
      );
    }
    const id = this.#id("cs_test");
    const session: Session = {
      id,
      object: "checkout.session",
      created: this.now,
      customer: customer.id,
      status: "open",
      url: `${this.origin}/c/pay/${id}`,
      expires_at: expires,
      metadata: { plan: body["metadata[plan]"] ?? "", attempt: body["metadata[attempt]"] ?? "" },
      subscription: null,
      success_url: body.success_url ?? "",
      cancel_url: body.cancel_url ?? "",
      price,
    };
    this.sessions.set(id, session);
    return session;
  }

  #expire(session: Session): Session {
    if (session.status !== "open") {
      throw new StripeError(
        400,
        "invalid_request_error",
        "Only Checkout Sessions with a status of open can be expired.",
      );
    }
    Object.assign(session, { status: "expired", url: null });
    this.#emit("checkout.session.expired", session);
    return session;
  }

  /** What a person does on the checkout page. Returns where their browser goes, or why they stay. */
  pay(sessionId: string, card: "good" | "declined" = "good"): { to: string } | { refused: string } {
    const session = found(this.sessions.get(sessionId), sessionId);
    if (session.status !== "open") return { refused: "This checkout is no longer open." };
    if (card === "declined") return { refused: "Your card was declined." };
    const customer = this.#customer(session.customer);
    customer.card = card;
    const sub: Sub = {
      id: this.#id("sub"),
      object: "subscription",
      created: this.now,
      customer: customer.id,
      status: "incomplete",
      cancel_at: null,
      cancel_at_period_end: false,
      ended_at: null,
      cancellation_details: { reason: null },
      items: {
        object: "list",
        data: [
          {
            id: this.#id("si"),
            current_period_start: this.now,
            current_period_end: this.now + PERIOD,
            price: { id: session.price },
          },
        ],
      },
    };
    this.subscriptions.set(sub.id, sub);
    this.#emit("customer.subscription.created", sub);
    this.#collect(this.#bill(sub, this.#price(session.price)));
    sub.status = "active";
    this.#emit("customer.subscription.updated", sub);
    Object.assign(session, { status: "complete", url: null, subscription: sub.id });
    this.#emit("checkout.session.completed", session);
    return { to: session.success_url };
  }

  #bill(sub: Sub, cents: number): Invoice {
    const customer = this.#customer(sub.customer);
    const credit = Math.min(cents, Math.max(0, -customer.balance));
    customer.balance += credit;
    const id = this.#id("in");
    const invoice: Invoice = {
      id,
      object: "invoice",
      created: this.now,
      customer: sub.customer,
      subscription: sub.id,
      number: `STANDIN-${this.invoices.size + 1}`,
      status: "open",
      total: cents - credit,
      currency: "usd",
      attempt_count: 0,
      next_payment_attempt: null,
      hosted_invoice_url: `${this.origin}/i/${id}`,
      invoice_pdf: `${this.origin}/i/${id}/pdf`,
    };
    this.invoices.set(id, invoice);
    this.#emit("invoice.created", invoice);
    return invoice;
  }

  #collect(invoice: Invoice): boolean {
    invoice.attempt_count += 1;
    const paid = invoice.total === 0 || this.#customer(invoice.customer).card === "good";
    if (paid) {
      Object.assign(invoice, { status: "paid", next_payment_attempt: null });
      this.#emit("invoice.paid", invoice);
      return true;
    }
    const wait = RETRIES[invoice.attempt_count - 1];
    invoice.next_payment_attempt = wait === undefined ? null : invoice.created + wait;
    this.#emit("invoice.payment_failed", invoice);
    return false;
  }

  #update(sub: Sub, body: Record<string, string>): Sub {
    if (sub.status === "canceled") {
      throw new StripeError(404, "invalid_request_error", `No such subscription: '${sub.id}'`, "resource_missing");
    }
    const [item] = sub.items.data;
    const price = body["items[0][price]"];
    if (item && price && price !== item.price.id) {
      if (body["items[0][id]"] !== item.id) throw new StripeError(400, "invalid_request_error", "No such item");
      const left = (item.current_period_end - this.now) / PERIOD;
      const cents = Math.round((this.#price(price) - this.#price(item.price.id)) * left);
      const customer = this.#customer(sub.customer);
      if (body.proration_behavior === "always_invoice" && cents > 0) {
        if (body.payment_behavior === "error_if_incomplete" && customer.card !== "good") {
          throw new StripeError(402, "card_error", "Your card was declined.", "card_declined");
        }
        this.#collect(this.#bill(sub, cents));
      } else {
        customer.balance += cents;
      }
      item.price = { id: price };
    }
    if (body.cancel_at_period_end !== undefined) {
      sub.cancel_at_period_end = body.cancel_at_period_end === "true";
      sub.cancel_at = sub.cancel_at_period_end ? (item?.current_period_end ?? null) : null;
    }
    this.#emit("customer.subscription.updated", sub);
    return sub;
  }

  cancelNow(id: string, reason: "cancellation_requested" | "payment_failed"): Sub {
    const sub = found(this.subscriptions.get(id), id);
    if (sub.status === "canceled") throw new StripeError(404, "invalid_request_error", "No such subscription");
    Object.assign(sub, { status: "canceled", ended_at: this.now, cancellation_details: { reason } });
    this.#emit("customer.subscription.deleted", sub);
    return sub;
  }

  /** The person gives another card in the portal, and what is open is tried again at once. */
  setCard(customerId: string, card: "good" | "declined"): void {
    this.#customer(customerId).card = card;
    for (const invoice of this.invoices.values()) {
      if (invoice.customer === customerId && invoice.status === "open") this.#try(invoice);
    }
  }

  #try(invoice: Invoice): void {
    const sub = found(this.subscriptions.get(invoice.subscription), invoice.subscription);
    const paid = this.#collect(invoice);
    if (sub.status === "canceled") return;
    const open = [...this.invoices.values()].some((it) => it.subscription === sub.id && it.status === "open");
    if (paid && !open) sub.status = "active";
    else if (!paid && invoice.next_payment_attempt === null && sub.status === "past_due") {
      if (this.finally === "canceled") {
        this.cancelNow(sub.id, "payment_failed");
        return;
      }
      sub.status = "unpaid";
    } else if (!paid && sub.status === "active") sub.status = "past_due";
    this.#emit("customer.subscription.updated", sub);
  }

  /** Moves the clock, and does on the way what is due: renewals, repeated payments, ends. */
  advance(seconds: number): void {
    const end = this.now + seconds;
    for (let next = this.#nextDue(end); next; next = this.#nextDue(end)) {
      this.now = Math.max(this.now, next.at);
      next.act();
    }
    this.now = end;
  }

  #nextDue(end: number): { at: number; act: () => void } | null {
    const due: { at: number; act: () => void }[] = [];
    for (const session of this.sessions.values()) {
      if (session.status === "open") due.push({ at: session.expires_at, act: () => void this.#expire(session) });
    }
    for (const sub of this.subscriptions.values()) {
      const [item] = sub.items.data;
      if (item && sub.status !== "canceled") due.push({ at: item.current_period_end, act: () => this.#renew(sub) });
    }
    for (const invoice of this.invoices.values()) {
      const at = invoice.next_payment_attempt;
      if (invoice.status === "open" && at !== null) due.push({ at, act: () => this.#try(invoice) });
    }
    return due.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0] ?? null;
  }

  #renew(sub: Sub): void {
    const [item] = sub.items.data;
    if (!item) return;
    if (sub.cancel_at_period_end) {
      this.cancelNow(sub.id, "cancellation_requested");
      return;
    }
    item.current_period_start = item.current_period_end;
    item.current_period_end += PERIOD;
    // Of a subscription that it has given up on, Stripe only drafts the bills.
    if (sub.status === "unpaid") {
      this.#emit("customer.subscription.updated", sub);
      return;
    }
    this.#try(this.#bill(sub, this.#price(item.price.id)));
  }

  #page(method: string, url: URL, body: Record<string, string>): Response {
    const html = (text: string, status = 200) =>
      new Response(text, { status, headers: { "content-type": "text/html; charset=utf-8" } });
    const [, kind, ...rest] = url.pathname.split("/");
    const id = rest.at(-1) ?? "";
    const card = body.card === "declined" ? "declined" : "good";
    if (kind === "c" && this.sessions.has(id)) {
      const paid = method === "POST" ? this.pay(id, card) : null;
      if (paid && "to" in paid) return Response.redirect(paid.to, 303);
      return html(CHECKOUT_PAGE(found(this.sessions.get(id), id), paid?.refused), paid ? 402 : 200);
    }
    if (kind === "p" && this.customers.has(id)) {
      if (method === "POST") this.setCard(id, card);
      const back = url.searchParams.get("back") ?? "/";
      return method === "POST" ? Response.redirect(back, 303) : html(PORTAL_PAGE(this.#customer(id), back));
    }
    return html("not found", 404);
  }
}

/** The request by which Stripe would deliver an event, signed as by Stripe itself. */
export async function eventRequest(
  event: StripeEvent,
  { url, secret, at }: { url: string; secret: string; at: number },
): Promise<Request> {
  const payload = JSON.stringify(event);
  const signature = await Stripe.webhooks.generateTestHeaderStringAsync({ payload, secret, timestamp: at });
  const headers = { "content-type": "application/json", "stripe-signature": signature };
  return new Request(url, { method: "POST", headers, body: payload });
}

const list = <T>(data: T[]) => ({ object: "list", data, has_more: false, url: "/v1" });

function found<T>(it: T | undefined, id: string): T {
  if (it === undefined)
    throw new StripeError(404, "invalid_request_error", `No such object: '${id}'`, "resource_missing");
  return it;
}
