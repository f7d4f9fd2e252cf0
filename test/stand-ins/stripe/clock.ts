import type { Books } from "./books.ts";
import { expireSession } from "./checkout.ts";
import { renew, tryInvoice } from "./subscriptions.ts";

/** Moves the clock, and does on the way what is due: renewals, repeated payments, ends. */
export function advance(books: Books, seconds: number): void {
  const end = books.now + seconds;
  for (let next = nextDue(books, end); next; next = nextDue(books, end)) {
    books.now = Math.max(books.now, next.at);
    next.act();
  }
  books.now = end;
}

function nextDue(books: Books, end: number): { at: number; act: () => void } | null {
  const due: { at: number; act: () => void }[] = [];
  for (const session of books.sessions.values()) {
    if (session.status === "open") due.push({ at: session.expires_at, act: () => void expireSession(books, session) });
  }
  for (const sub of books.subscriptions.values()) {
    const [item] = sub.items.data;
    if (item && sub.status !== "canceled") due.push({ at: item.current_period_end, act: () => renew(books, sub) });
  }
  for (const invoice of books.invoices.values()) {
    const at = invoice.next_payment_attempt;
    if (invoice.status === "open" && at !== null) due.push({ at, act: () => tryInvoice(books, invoice) });
  }
  return due.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0] ?? null;
}
