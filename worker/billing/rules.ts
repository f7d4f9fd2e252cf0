import { z } from "zod";
import { DEFAULT_PLAN, PLAN_IDS, PLANS, type PlanId, TRIAL_DAYS, TRIAL_PLAN } from "../tenants/index.ts";

const key = (prefix: RegExp) => z.string().regex(prefix).max(256);
const pricesOfPlan = z.array(key(/^price_\w+$/)).min(1);

/**
 * `off`: somebody's own machine, where nobody pays anybody. `trial`: nobody can pay yet. `stripe`: the real thing; of a
 * plan's prices the first is sold, the others are what earlier customers still pay. Several webhook secrets are accepted
 * side by side while one of them is rotated.
 */
export const billingConfig = z.discriminatedUnion("mode", [
  z.strictObject({ mode: z.literal("off") }),
  z.strictObject({ mode: z.literal("trial") }),
  z.strictObject({
    mode: z.literal("stripe"),
    key: key(/^(sk|rk)_(test|live)_\w+$/),
    webhookSecrets: z
      .array(key(/^whsec_\S{16,}$/))
      .min(1)
      .max(4),
    prices: z
      .strictObject({ starter: pricesOfPlan, pro: pricesOfPlan, team: pricesOfPlan })
      .refine((prices) => new Set(Object.values(prices).flat()).size === Object.values(prices).flat().length),
    /** Where Stripe's API and its payment pages are; only tests have reason to say something else. */
    api: z.url().default("https://api.stripe.com"),
    pages: z.array(z.url()).default(["https://checkout.stripe.com", "https://billing.stripe.com"]),
  }),
]);
export type BillingConfig = z.infer<typeof billingConfig>;
export type StripeConfig = Extract<BillingConfig, { mode: "stripe" }>;

export const DAY_MS = 24 * 3_600_000;
export const TRIAL_MS = TRIAL_DAYS * DAY_MS;
/** After a failed payment everything goes on for so long. */
export const GRACE_DAYS = 7;
/** Agents are stopped and their data is kept for so long. */
export const KEPT_DAYS = 30;
/** Nobody's data is destroyed sooner than this after they were told that it will be. */
export const WARNING_DAYS = 7;

/** What the payment provider says about an owner's subscription, in our words. Times in milliseconds. */
export interface Subscription {
  id: string;
  plan: PlanId;
  /** `owing`: a payment failed and may still succeed. `ended`: it will not go on by itself. */
  standing: "paid" | "owing" | "ended";
  periodEndsAt: number;
  cancelsAt: number | null;
  /** When the oldest bill that is still unpaid was made out. */
  owingSince: number | null;
  endedAt: number | null;
}

export interface Facts {
  mode: BillingConfig["mode"];
  trialEndsAt: number;
  subscription: Subscription | null;
  /** Warnings of deletion that were posted, by what they were about. */
  warnings: readonly { cause: number; at: number }[];
}

export const STAGES = [
  "unbilled",
  "trial",
  "trial_3_days",
  "trial_1_day",
  "trial_ended",
  "paid",
  "grace",
  "suspended",
  "warned",
  "deletable",
] as const;
export type Stage = (typeof STAGES)[number];

export const isTrial = (stage: Stage): boolean =>
  stage === "trial" || stage === "trial_3_days" || stage === "trial_1_day";

export interface Entitlement {
  stage: Stage;
  /** Whose sizes count. */
  plan: PlanId;
  /** What stands on the owner's agents. */
  label: string;
  /** How many agents the owner may have and run; none when the account does not cover them. */
  tenants: number;
  /** What the stage goes back to: the same for as long as the same trial or lapse lasts. */
  cause: number;
  /** When the clock alone ends this stage, or null. */
  until: number | null;
}

/**
 * What an owner may have, from plan, subscription, trial and clock: the only place that decides it. It remembers
 * nothing, so paying undoes every stage, and it makes no difference in which order the facts became known.
 *
 * trial → (3 days left) → (1 day left) → ended, data kept.
 * paid → grace (7 days) → suspended (30 days) → warned (7 days) → deletable. A subscription that its owner ended skips
 * the grace. A trial that still runs covers whatever the subscription does not.
 */
export function entitlements({ mode, trialEndsAt, subscription: it, warnings }: Facts, now: number): Entitlement {
  const on = (plan: PlanId, label: string) => ({ plan, label, tenants: PLANS[plan].tenants });
  if (mode === "off") {
    return {
      ...on(TRIAL_PLAN, DEFAULT_PLAN),
      stage: "unbilled",
      tenants: Number.POSITIVE_INFINITY,
      cause: 0,
      until: null,
    };
  }
  if (it?.standing === "paid") return { ...on(it.plan, it.plan), stage: "paid", cause: it.periodEndsAt, until: null };

  if (now < trialEndsAt) {
    const trial = { ...on(TRIAL_PLAN, DEFAULT_PLAN), cause: trialEndsAt };
    const [threeLeft, oneLeft] = [trialEndsAt - 3 * DAY_MS, trialEndsAt - DAY_MS];
    if (now < threeLeft) return { ...trial, stage: "trial", until: threeLeft };
    if (now < oneLeft) return { ...trial, stage: "trial_3_days", until: oneLeft };
    return { ...trial, stage: "trial_1_day", until: trialEndsAt };
  }
  if (it === null) {
    // Not deleted by the clock: nobody who has never paid has agreed to a term.
    return { ...on(TRIAL_PLAN, DEFAULT_PLAN), tenants: 0, stage: "trial_ended", cause: trialEndsAt, until: null };
  }

  const lapse = {
    ...on(it.plan, it.plan),
    cause: Math.max(it.owingSince ?? it.endedAt ?? it.periodEndsAt, trialEndsAt),
  };
  const suspendedAt = lapse.cause + (it.owingSince === null ? 0 : GRACE_DAYS * DAY_MS);
  if (now < suspendedAt) return { ...lapse, stage: "grace", until: suspendedAt };
  const stopped = { ...lapse, tenants: 0 };
  const warnAt = suspendedAt + KEPT_DAYS * DAY_MS;
  // Where nobody can pay, nobody is deleted for not paying.
  if (now < warnAt || mode === "trial")
    return { ...stopped, stage: "suspended", until: mode === "trial" ? null : warnAt };
  const warnedAt = warnings.find(({ cause, at }) => cause === lapse.cause && at >= warnAt)?.at ?? null;
  // Counted from the warning, not from the calendar: an installation that slept for two months must not wake up and
  // delete.
  const deleteAt = warnedAt === null ? null : warnedAt + WARNING_DAYS * DAY_MS;
  if (deleteAt === null || now < deleteAt) return { ...stopped, stage: "warned", until: deleteAt };
  return { ...stopped, stage: "deletable", until: null };
}

/** When to look at an account again. Once a day at least while the provider may know more than we were told. */
export function nextReview({ until }: Pick<Entitlement, "until">, hasCustomer: boolean, now: number): number {
  const latest = now + (hasCustomer ? DAY_MS : KEPT_DAYS * DAY_MS);
  return Math.min(until ?? latest, latest);
}

export const planBody = z.strictObject({ plan: z.enum(PLAN_IDS) });

export type PlanChange = "upgrade" | "downgrade" | "none";
export function comparePlans(from: PlanId, to: PlanId): PlanChange {
  if (from === to) return "none";
  return PLANS[to].usdPerMonth > PLANS[from].usdPerMonth ? "upgrade" : "downgrade";
}
