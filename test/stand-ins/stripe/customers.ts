import type { Books } from "./books.ts";
import type { Customer } from "./types.ts";
import { StripeError } from "./wire.ts";

export function createCustomer(books: Books, body: Record<string, string>): Customer {
  const customer: Customer = {
    id: books.id("cus"),
    object: "customer",
    created: books.now,
    email: body.email ?? "",
    name: body.name ?? "",
    metadata: { owner: body["metadata[owner]"] ?? "" },
    card: null,
    balance: 0,
    tax_ids: [],
  };
  books.customers.set(customer.id, customer);
  books.emit("customer.created", customer);
  return customer;
}

export function addTaxId(books: Books, customer: Customer, { type = "", value = "" }: Record<string, string>) {
  if (type === "eu_vat" && !/^[A-Z]{2}[0-9A-Z]{8,12}$/.test(value)) {
    throw new StripeError(400, "invalid_request_error", "Invalid value for eu_vat.", "tax_id_invalid");
  }
  const taxId = { id: books.id("txi"), object: "tax_id" as const, type, value };
  customer.tax_ids.push(taxId);
  return taxId;
}
