/** Stripe's objects as far as the stand-in has them: docs.stripe.com/api. Times in seconds, amounts in cents. */
export interface Customer {
  id: string;
  object: "customer";
  created: number;
  email: string;
  name: string;
  metadata: Record<string, string>;
  /** Whether the next payment succeeds; null: there is no card yet. */
  card: "good" | "declined" | null;
  /** In cents; below zero we owe them. */
  balance: number;
  tax_ids: { id: string; object: "tax_id"; type: string; value: string }[];
}
export interface Session {
  id: string;
  object: "checkout.session";
  created: number;
  customer: string;
  status: "open" | "complete" | "expired";
  url: string | null;
  expires_at: number;
  metadata: Record<string, string>;
  subscription: string | null;
  success_url: string;
  cancel_url: string;
  price: string;
}
export interface Sub {
  id: string;
  object: "subscription";
  created: number;
  customer: string;
  status: "active" | "past_due" | "unpaid" | "canceled" | "incomplete" | "incomplete_expired";
  cancel_at: number | null;
  cancel_at_period_end: boolean;
  ended_at: number | null;
  cancellation_details: { reason: string | null };
  items: {
    object: "list";
    data: { id: string; current_period_start: number; current_period_end: number; price: { id: string } }[];
  };
}
export interface Invoice {
  id: string;
  object: "invoice";
  created: number;
  customer: string;
  subscription: string;
  number: string;
  status: "open" | "paid" | "void" | "uncollectible";
  total: number;
  currency: "usd";
  attempt_count: number;
  next_payment_attempt: number | null;
  hosted_invoice_url: string;
  invoice_pdf: string;
}
export interface StripeEvent {
  id: string;
  object: "event";
  type: string;
  created: number;
  livemode: false;
  data: { object: unknown };
}
