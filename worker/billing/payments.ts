import type { PlanId } from "../tenants/index.ts";
import type { Subscription } from "./rules.ts";
import type { Bill, TaxId } from "./types.ts";

export interface OpenCheckout {
  id: string;
  url: string;
  plan: PlanId | null;
  attempt: string | null;
  expiresAt: number;
}
/** What of an event is believed: that it is Stripe's, and whose account to look at. */
export interface BillingEvent {
  id: string;
  type: string;
  at: number;
  customerId: string | null;
}

/** A payment or a value was refused for what it is; the same again would be refused again. */
export class Declined extends Error {
  override name = "Declined";
}

/** What the provider or the way to it threw, as against a mistake of ours. */
export const isProviderError = (error: unknown): boolean =>
  error instanceof Error && "type" in error && String(error.type).startsWith("Stripe");

/** It is away for everybody, not only for one account. */
export const isOutage = (error: unknown): boolean =>
  isProviderError(error) &&
  ["StripeConnectionError", "StripeAPIError", "StripeRateLimitError"].includes(
    (error as unknown as { type: string }).type,
  );

/**
 * The payment provider, as this room needs it. All amounts in cents, all times in milliseconds. Every call either does
 * what it says, throws {@link Declined}, or throws another error after which nothing is known: call it again.
 */
export interface Payments {
  /** One customer per owner, however often it is asked for. */
  createCustomer(owner: { id: string; email: string; name: string }): Promise<string>;
  /** The subscription that counts, fetched now; null before the first payment. */
  subscription(customerId: string): Promise<Subscription | null>;
  openCheckouts(customerId: string): Promise<OpenCheckout[]>;
  /** The same `attempt` gives the same checkout. */
  createCheckout(order: {
    attempt: string;
    startedAt: number;
    customerId: string;
    plan: PlanId;
    backTo: string;
  }): Promise<{ id: string; url: string }>;
  /** False when it was paid meanwhile. */
  expireCheckout(id: string): Promise<boolean>;
  /** An upgrade is billed for the rest of the period at once and happens only if that is paid; a downgrade is credited. */
  changePlan(subscription: Subscription, plan: PlanId, change: "upgrade" | "downgrade"): Promise<void>;
  setCancellation(subscriptionId: string, atPeriodEnd: boolean): Promise<void>;
  cancelNow(subscriptionId: string): Promise<void>;
  portal(customerId: string, backTo: string): Promise<string>;
  bills(customerId: string): Promise<Bill[]>;
  taxIds(customerId: string): Promise<TaxId[]>;
  addTaxId(customerId: string, taxId: TaxId): Promise<void>;
  /** Null when the signature is of none of our secrets, too old, or of other bytes. */
  event(raw: string, signature: string, nowMs: number): Promise<BillingEvent | null>;
}
