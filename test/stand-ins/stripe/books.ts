import type { Customer, Invoice, Session, StripeEvent, Sub } from "./types.ts";
import { StripeError } from "./wire.ts";

export const DAY = 86_400;
export const PERIOD = 30 * DAY;

/** What the stand-in remembers, and its clock. Times in seconds, amounts in cents. */
export class Books {
  now: number;
  /** Of the pages that it serves. */
  readonly origin: string;
  readonly customers = new Map<string, Customer>();
  readonly sessions = new Map<string, Session>();
  readonly subscriptions = new Map<string, Sub>();
  readonly invoices = new Map<string, Invoice>();
  /** Every event there ever was, in the order in which things happened. */
  readonly events: StripeEvent[] = [];
  /** What becomes of a subscription when all repetitions of a payment failed. */
  finally: "canceled" | "unpaid" = "unpaid";
  readonly #prices: Readonly<Record<string, number>>;
  #next = 1;

  constructor({ prices, origin, now }: { prices: Readonly<Record<string, number>>; origin: string; now: number }) {
    this.#prices = prices;
    this.origin = origin;
    this.now = now;
  }

  id(prefix: string): string {
    return `${prefix}_standin${String(this.#next++).padStart(6, "0")}`;
  }

  emit(type: string, object: unknown): void {
    const data = { object: structuredClone(object) };
    this.events.push({ id: this.id("evt"), object: "event", type, created: this.now, livemode: false, data });
  }

  customer = (id: string): Customer => found(this.customers.get(id), id);
  session = (id: string): Session => found(this.sessions.get(id), id);
  subscription = (id: string): Sub => found(this.subscriptions.get(id), id);

  /** Cents a month. */
  price(price: string): number {
    const cents = this.#prices[price];
    if (cents === undefined) throw new StripeError(400, "invalid_request_error", `No such price: '${price}'`);
    return cents;
  }
}

function found<T>(it: T | undefined, id: string): T {
  if (it !== undefined) return it;
  throw new StripeError(404, "invalid_request_error", `No such object: '${id}'`, "resource_missing");
}
