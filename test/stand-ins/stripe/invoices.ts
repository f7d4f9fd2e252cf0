import { type Books, DAY } from "./books.ts";
import type { Invoice, Sub } from "./types.ts";

/** After a failed payment, as far as Stripe's own default goes: again after 3, 5 and 7 days, then it gives up. */
const RETRIES = [3 * DAY, 5 * DAY, 7 * DAY];

/** A bill, less what the customer has coming. */
export function bill(books: Books, sub: Sub, cents: number): Invoice {
  const customer = books.customer(sub.customer);
  const credit = Math.min(cents, Math.max(0, -customer.balance));
  customer.balance += credit;
  const id = books.id("in");
  const invoice: Invoice = {
    id,
    object: "invoice",
    created: books.now,
    customer: sub.customer,
    subscription: sub.id,
    number: `STANDIN-${books.invoices.size + 1}`,
    status: "open",
    total: cents - credit,
    currency: "usd",
    attempt_count: 0,
    next_payment_attempt: null,
    hosted_invoice_url: `${books.origin}/i/${id}`,
    invoice_pdf: `${books.origin}/i/${id}/pdf`,
  };
  books.invoices.set(id, invoice);
  books.emit("invoice.created", invoice);
  return invoice;
}

/** Takes the money from the card there is. False when it is declined; then it says when to try again. */
export function collect(books: Books, invoice: Invoice): boolean {
  invoice.attempt_count += 1;
  const paid = invoice.total === 0 || books.customer(invoice.customer).card === "good";
  if (paid) {
    Object.assign(invoice, { status: "paid", next_payment_attempt: null });
    books.emit("invoice.paid", invoice);
    return true;
  }
  const wait = RETRIES[invoice.attempt_count - 1];
  invoice.next_payment_attempt = wait === undefined ? null : invoice.created + wait;
  books.emit("invoice.payment_failed", invoice);
  return false;
}
