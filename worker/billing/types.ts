import { z } from "@hono/zod-openapi";
import type { Person } from "../accounts/index.ts";
import type { Result } from "../problem.ts";
import type { Background } from "../tenants/types.ts";
import { STAGES } from "./rules.ts";

const time = z.iso.datetime();

/** How an account stands, as its owner sees it. Times are ISO 8601 in UTC. */
export const billingView = z
  .object({
    payments: z.enum(["off", "trial", "stripe"]).openapi({
      description: "off: nobody pays on this installation. trial: nobody can pay yet. stripe: plans can be bought.",
    }),
    stage: z.enum(STAGES).openapi({ description: "From plan, subscription, trial and clock." }),
    plan: z.enum(["starter", "pro", "team"]),
    agents: z.object({ used: z.int(), allowed: z.int().nullable() }),
    trialEndsAt: time.nullable(),
    trialDaysLeft: z.int().nullable().openapi({ description: "Begun days that are left of a trial that runs." }),
    until: time.nullable().openapi({ description: "When the clock alone ends this stage." }),
    subscription: z
      .object({ standing: z.enum(["paid", "owing", "ended"]), periodEndsAt: time, cancelsAt: time.nullable() })
      .nullable(),
  })
  .openapi("Billing");
export type BillingView = z.infer<typeof billingView>;

const billView = z
  .object({
    id: z.string(),
    number: z.string().nullable(),
    at: time,
    cents: z.int(),
    currency: z.string(),
    status: z.string(),
    url: z.url().nullable().openapi({ description: "Where it can be seen, and paid while it is open." }),
    pdf: z.url().nullable(),
  })
  .openapi("Bill");
export type Bill = z.infer<typeof billView>;

/** The provider's own list of types is longer than ours: https://docs.stripe.com/billing/customer/tax-ids. */
export const taxIdView = z
  .strictObject({ type: z.string().regex(/^[a-z]{2}_[a-z]{2,8}$/), value: z.string().trim().min(4).max(40) })
  .openapi("TaxId");
export type TaxId = z.infer<typeof taxIdView>;

export const papersView = z.object({ bills: z.array(billView), taxIds: z.array(taxIdView) }).openapi("Papers");
export type Papers = z.infer<typeof papersView>;

export interface BillingService {
  read(person: Person): Promise<BillingView>;
  /** The same, after asking the provider: for who comes back from its pages. */
  refresh(person: Person, later: Background): Promise<Result<BillingView>>;
  /** `plan` is not parsed yet. The address of the provider's page where it is paid. */
  checkout(person: Person, plan: unknown, later: Background): Promise<Result<{ url: string }>>;
  changePlan(person: Person, plan: unknown, later: Background): Promise<Result<BillingView>>;
  /** At the end of the period that is paid; `false` takes it back. */
  cancel(person: Person, atPeriodEnd: boolean, later: Background): Promise<Result<BillingView>>;
  /** The address of the provider's page for cards, addresses and bills. */
  portal(person: Person): Promise<Result<{ url: string }>>;
  /** Empty before the first checkout. */
  papers(person: Person): Promise<Result<Papers>>;
  addTaxId(person: Person, taxId: unknown): Promise<Result<Papers>>;
}
