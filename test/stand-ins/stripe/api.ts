import type { Books } from "./books.ts";
import { createSession, expireSession } from "./checkout.ts";
import { addTaxId, createCustomer } from "./customers.ts";
import { cancelNow, updateSubscription } from "./subscriptions.ts";
import { StripeError } from "./wire.ts";

interface Call {
  /** Of the object that the path names. */
  id: string;
  query: Readonly<Record<string, string>>;
  body: Record<string, string>;
}

/** Those whose member is what was asked for; a member that was not asked for excludes nobody. */
const matching = <T extends object>(all: Iterable<T>, asked: Partial<Record<keyof T & string, string | undefined>>) =>
  [...all].filter((it) => Object.entries(asked).every(([name, value]) => !value || it[name as keyof T] === value));
const list = <T>(data: T[]) => ({ object: "list", data, has_more: false, url: "/v1" });

/** The calls that this product makes: docs.stripe.com/api. */
const ROUTES: Readonly<Record<string, (books: Books, call: Call) => unknown>> = {
  "POST customers": (books, { body }) => createCustomer(books, body),
  "GET customers/:id/tax_ids": (books, { id }) => list(books.customer(id).tax_ids),
  "POST customers/:id/tax_ids": (books, { id, body }) => addTaxId(books, books.customer(id), body),
  "POST checkout/sessions": (books, { body }) => createSession(books, body),
  "GET checkout/sessions": (books, { query: { customer, status } }) =>
    list(matching(books.sessions.values(), { customer: books.customer(customer ?? "").id, status })),
  "GET checkout/sessions/:id": (books, { id }) => books.session(id),
  "POST checkout/sessions/:id/expire": (books, { id }) => expireSession(books, books.session(id)),
  "GET subscriptions": (books, { query: { customer } }) =>
    list(matching(books.subscriptions.values(), { customer: books.customer(customer ?? "").id })),
  "GET subscriptions/:id": (books, { id }) => books.subscription(id),
  "POST subscriptions/:id": (books, { id, body }) => updateSubscription(books, books.subscription(id), body),
  "DELETE subscriptions/:id": (books, { id }) => cancelNow(books, id, "cancellation_requested"),
  "GET invoices": (books, { query: { customer, subscription, status } }) =>
    list(matching(books.invoices.values(), { customer, subscription, status }).reverse()),
  "POST billing_portal/sessions": (books, { body }) => {
    const { id: customer } = books.customer(body.customer ?? "");
    const url = `${books.origin}/p/${customer}?back=${encodeURIComponent(body.return_url ?? "")}`;
    return { id: books.id("bps"), object: "billing_portal.session", url };
  },
};

/** Does one call of the API. Throws {@link StripeError}. */
export function act(books: Books, method: string, url: URL, body: Record<string, string>): unknown {
  const [, , ...path] = url.pathname.split("/");
  const route = `${method} ${path.join("/").replace(/(cus|cs|sub|in)_\w+/, ":id")}`;
  const id = path.find((part) => /^(cus|cs|sub|in)_/.test(part)) ?? "";
  const handler = ROUTES[route];
  if (!handler) throw new StripeError(404, "invalid_request_error", `Unrecognized request URL (${route})`);
  return handler(books, { id, query: Object.fromEntries(url.searchParams), body });
}
