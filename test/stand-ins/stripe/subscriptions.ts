import { type Books, PERIOD } from "./books.ts";
import { bill, collect } from "./invoices.ts";
import type { Invoice, Sub } from "./types.ts";
import { StripeError } from "./wire.ts";

/** Paid from the first moment: whoever calls this has seen a good card. */
export function startSubscription(books: Books, customer: string, price: string): Sub {
  const [start, end] = [books.now, books.now + PERIOD];
  const item = { id: books.id("si"), current_period_start: start, current_period_end: end, price: { id: price } };
  const sub: Sub = {
    id: books.id("sub"),
    object: "subscription",
    created: books.now,
    customer,
    status: "incomplete",
    cancel_at: null,
    cancel_at_period_end: false,
    ended_at: null,
    cancellation_details: { reason: null },
    items: { object: "list", data: [item] },
  };
  books.subscriptions.set(sub.id, sub);
  books.emit("customer.subscription.created", sub);
  collect(books, bill(books, sub, books.price(price)));
  sub.status = "active";
  books.emit("customer.subscription.updated", sub);
  return sub;
}

/** Another price, billed or credited for what is left of the period; or whether it ends with the period. */
export function updateSubscription(books: Books, sub: Sub, body: Record<string, string>): Sub {
  if (sub.status === "canceled") {
    throw new StripeError(404, "invalid_request_error", `No such subscription: '${sub.id}'`, "resource_missing");
  }
  const [item] = sub.items.data;
  const price = body["items[0][price]"];
  if (item && price && price !== item.price.id) {
    if (body["items[0][id]"] !== item.id) throw new StripeError(400, "invalid_request_error", "No such item");
    const left = (item.current_period_end - books.now) / PERIOD;
    const cents = Math.round((books.price(price) - books.price(item.price.id)) * left);
    const customer = books.customer(sub.customer);
    if (body.proration_behavior === "always_invoice" && cents > 0) {
      if (body.payment_behavior === "error_if_incomplete" && customer.card !== "good") {
        throw new StripeError(402, "card_error", "Your card was declined.", "card_declined");
      }
      collect(books, bill(books, sub, cents));
    } else {
      customer.balance += cents;
    }
    item.price = { id: price };
  }
  if (body.cancel_at_period_end !== undefined) {
    sub.cancel_at_period_end = body.cancel_at_period_end === "true";
    sub.cancel_at = sub.cancel_at_period_end ? (item?.current_period_end ?? null) : null;
  }
  books.emit("customer.subscription.updated", sub);
  return sub;
}

export function cancelNow(books: Books, id: string, reason: "cancellation_requested" | "payment_failed"): Sub {
  const sub = books.subscription(id);
  if (sub.status === "canceled") throw new StripeError(404, "invalid_request_error", "No such subscription");
  Object.assign(sub, { status: "canceled", ended_at: books.now, cancellation_details: { reason } });
  books.emit("customer.subscription.deleted", sub);
  return sub;
}

/** Tries an open bill, and lets the subscription follow: paid again, overdue, given up. */
export function tryInvoice(books: Books, invoice: Invoice): void {
  const sub = books.subscription(invoice.subscription);
  const paid = collect(books, invoice);
  if (sub.status === "canceled") return;
  const open = [...books.invoices.values()].some((it) => it.subscription === sub.id && it.status === "open");
  if (paid && !open) sub.status = "active";
  else if (!paid && invoice.next_payment_attempt === null && sub.status === "past_due") {
    if (books.finally === "canceled") {
      cancelNow(books, sub.id, "payment_failed");
      return;
    }
    sub.status = "unpaid";
  } else if (!paid && sub.status === "active") sub.status = "past_due";
  books.emit("customer.subscription.updated", sub);
}

/** The end of a period is the beginning of the next, or of nothing. */
export function renew(books: Books, sub: Sub): void {
  const [item] = sub.items.data;
  if (!item) return;
  if (sub.cancel_at_period_end) {
    cancelNow(books, sub.id, "cancellation_requested");
    return;
  }
  item.current_period_start = item.current_period_end;
  item.current_period_end += PERIOD;
  // Of a subscription that it has given up on, Stripe only drafts the bills.
  if (sub.status === "unpaid") {
    books.emit("customer.subscription.updated", sub);
    return;
  }
  tryInvoice(books, bill(books, sub, books.price(item.price.id)));
}
