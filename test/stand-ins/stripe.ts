import Stripe from "stripe";
import { act } from "./stripe/api.ts";
import { Books, DAY } from "./stripe/books.ts";
import { pay } from "./stripe/checkout.ts";
import { advance } from "./stripe/clock.ts";
import { cancelNow, tryInvoice } from "./stripe/subscriptions.ts";
import type { StripeEvent } from "./stripe/types.ts";
import { CHECKOUT_PAGE, formFields, PORTAL_PAGE, StripeError } from "./stripe/wire.ts";

export type { StripeEvent } from "./stripe/types.ts";

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

interface Answer {
  status: number;
  body: unknown;
}

/**
 * Stripe as far as this product uses it, with a memory and a clock of its own: customers, checkout, subscriptions with
 * proration, bills, failed payments and their repetition, the portal, idempotency keys, errors, and events signed by the
 * official package. Reference: docs.stripe.com/api, "Idempotent requests", "Subscription lifecycle", "Prorations".
 * Its objects are in `stripe/`, a file for each resource; here is what stands in front of them.
 */
export class StripeStandIn extends Books {
  /** Every call of the API: `POST /v1/customers`. */
  readonly calls: string[] = [];
  /** What befalls the next calls. `after`: the effect stays, the answer is lost. */
  readonly faults: ("rate_limited" | "error" | "after")[] = [];
  /** Every call is refused. */
  down = false;
  readonly #key: string;
  readonly #keys = new Map<string, { asked: string; at: number; answer: Answer }>();
  #held: { call: string; seen: () => void; until: Promise<void> } | null = null;

  constructor({ key, ...books }: StripeStandInOptions) {
    super(books);
    this.#key = key;
  }

  /** The API and the pages, as `fetch` or a server sees them. */
  fetch = async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const request = new Request(input, init);
    const url = new URL(request.url);
    const body = formFields(new TextDecoder().decode(await request.arrayBuffer()));
    if (!url.pathname.startsWith("/v1/")) return this.#page(request.method, url, body);
    const json = ({ status, body }: Answer) =>
      Response.json(body, { status, headers: { "request-id": this.id("req") } });
    if (request.headers.get("authorization") !== `Bearer ${this.#key}`) {
      return json(new StripeError(401, "invalid_request_error", "Invalid API Key provided"));
    }
    const call = `${request.method} ${url.pathname}`;
    this.calls.push(call);
    const fault = this.faults.shift();
    if (fault === "rate_limited" || this.down) {
      return json(new StripeError(429, "invalid_request_error", "Too many requests", "rate_limit"));
    }
    if (fault === "error") return json(new StripeError(500, "api_error", "Something went wrong"));
    const answer = this.#once(request.headers.get("idempotency-key"), request.method, url, body);
    await this.#holding(call);
    return json(fault === "after" ? new StripeError(500, "api_error", "The answer was lost") : answer);
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
    return this.#act(method, new URL(path, this.origin), fields).body;
  }

  #act(method: string, url: URL, body: Record<string, string>): Answer {
    try {
      return { status: 200, body: act(this, method, url, body) };
    } catch (error) {
      if (error instanceof StripeError) return error;
      throw error;
    }
  }

  /** The same key gives the same answer; with other parameters it is refused. Refusals before any effect are not kept. */
  #once(key: string | null, method: string, url: URL, body: Record<string, string>): Answer {
    const asked = `${method} ${url.pathname} ${JSON.stringify(body)}`;
    const known = key !== null && method === "POST" ? this.#keys.get(key) : undefined;
    if (known && known.at > this.now - KEY_KEPT) {
      if (known.asked === asked) return known.answer;
      const text = "Keys for idempotent requests can only be used with the same parameters they were first used with.";
      return new StripeError(400, "idempotency_error", text);
    }
    const done = this.#act(method, url, body);
    const answer = { status: done.status, body: structuredClone(done.body) };
    const isKept = answer.status !== 400 && answer.status !== 404;
    if (key !== null && method === "POST" && isKept) this.#keys.set(key, { asked, at: this.now, answer });
    return answer;
  }

  /** What a person does on the checkout page. Returns where their browser goes, or why they stay. */
  pay(sessionId: string, card: "good" | "declined" = "good") {
    return pay(this, sessionId, card);
  }

  /** The person gives another card in the portal, and what is open is tried again at once. */
  setCard(customerId: string, card: "good" | "declined"): void {
    this.customer(customerId).card = card;
    for (const invoice of this.invoices.values()) {
      if (invoice.customer === customerId && invoice.status === "open") tryInvoice(this, invoice);
    }
  }

  cancelNow(id: string, reason: "cancellation_requested" | "payment_failed") {
    return cancelNow(this, id, reason);
  }

  advance(seconds: number): void {
    advance(this, seconds);
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
      return html(CHECKOUT_PAGE(this.session(id), paid?.refused), paid ? 402 : 200);
    }
    if (kind === "p" && this.customers.has(id)) {
      if (method === "POST") this.setCard(id, card);
      const back = url.searchParams.get("back") ?? "/";
      return method === "POST" ? Response.redirect(back, 303) : html(PORTAL_PAGE(this.customer(id), back));
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
