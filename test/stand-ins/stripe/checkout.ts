import { type Books, DAY } from "./books.ts";
import { startSubscription } from "./subscriptions.ts";
import type { Session } from "./types.ts";
import { StripeError } from "./wire.ts";

export function createSession(books: Books, body: Record<string, string>): Session {
  const customer = books.customer(body.customer ?? "");
  const price = body["line_items[0][price]"] ?? "";
  books.price(price);
  const expires = Number(body.expires_at);
  if (!(expires >= books.now + 1_800 && expires <= books.now + DAY)) {
    const text = "The expires_at timestamp must be 30 minutes to 24 hours away.";
    throw new StripeError(400, "invalid_request_error", text);
  }
  const id = books.id("cs_test");
  const session: Session = {
    id,
    object: "checkout.session",
    created: books.now,
    customer: customer.id,
    status: "open",
    url: `${books.origin}/c/pay/${id}`,
    expires_at: expires,
    metadata: { plan: body["metadata[plan]"] ?? "", attempt: body["metadata[attempt]"] ?? "" },
    subscription: null,
    success_url: body.success_url ?? "",
    cancel_url: body.cancel_url ?? "",
    price,
  };
  books.sessions.set(id, session);
  return session;
}

export function expireSession(books: Books, session: Session): Session {
  if (session.status !== "open") {
    const text = "Only Checkout Sessions with a status of open can be expired.";
    throw new StripeError(400, "invalid_request_error", text);
  }
  Object.assign(session, { status: "expired", url: null });
  books.emit("checkout.session.expired", session);
  return session;
}

/** What a person does on the checkout page. Returns where their browser goes, or why they stay. */
export function pay(books: Books, sessionId: string, card: "good" | "declined"): { to: string } | { refused: string } {
  const session = books.session(sessionId);
  if (session.status !== "open") return { refused: "This checkout is no longer open." };
  if (card === "declined") return { refused: "Your card was declined." };
  const customer = books.customer(session.customer);
  customer.card = card;
  const { id: subscription } = startSubscription(books, customer.id, session.price);
  Object.assign(session, { status: "complete", url: null, subscription });
  books.emit("checkout.session.completed", session);
  return { to: session.success_url };
}
