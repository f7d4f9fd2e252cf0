import type { Customer, Session } from "./types.ts";

/** An error in the shape of docs.stripe.com/api/errors. */
export class StripeError extends Error {
  readonly status: number;
  readonly body: { error: { type: string; message: string; code?: string } };
  constructor(status: number, type: string, message: string, code?: string) {
    super(message);
    this.status = status;
    this.body = { error: { type, message, ...(code ? { code } : {}) } };
  }
}

/** `line_items[0][price]=x` stays flat: its name is its path. */
export const formFields = (body: string): Record<string, string> => Object.fromEntries(new URLSearchParams(body));

const escaped = (text: string) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
const document = (title: string, content: string) =>
  `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title><main><h1>${title}</h1>${content}</main>`;
const cardForm = (button: string) =>
  `<form method="post"><label>Card <select name="card"><option value="good">4242 4242 4242 4242</option><option value="declined">4000 0000 0000 0002 (declined)</option></select></label> <button>${button}</button></form>`;

export const CHECKOUT_PAGE = (session: Session, refused?: string) =>
  document(
    "Stripe stand-in: checkout",
    session.status === "open"
      ? `${refused ? `<p role="alert">${escaped(refused)}</p>` : ""}<p>${escaped(session.metadata.plan ?? "")}</p>${cardForm("Subscribe")}<p><a href="${escaped(session.cancel_url)}">Back</a></p>`
      : "<p>This checkout is no longer open.</p>",
  );

export const PORTAL_PAGE = (customer: Customer, back: string) =>
  document(
    "Stripe stand-in: portal",
    `<p>${escaped(customer.email)}</p>${cardForm("Save card")}<p><a href="${escaped(back)}">Back</a></p>`,
  );
