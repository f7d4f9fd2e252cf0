import type { FC } from "hono/jsx";
import type { BillingView, Papers } from "../billing/types.ts";
import { PLAN_IDS, PLANS, type Plan, type PlanId } from "../tenants/index.ts";
import type { Problem } from "./deps.ts";
import { Alert, Field } from "./forms.tsx";
import { PROBLEM_WORDS } from "./problem-words.ts";
import { readableDay, readableMiB } from "./rules.ts";

export interface BillingProps {
  view: BillingView;
  /** Null where the provider did not answer; empty before the first checkout. */
  papers: Papers | null;
  problem?: Problem;
  /** What was typed as tax id, when it was refused. */
  taxId?: { type: string; value: string; error: string };
}

export const Billing: FC<BillingProps> = ({ view, papers, problem, taxId }) => (
  <>
    <h1>Billing</h1>
    {problem ? (
      <Alert title={PROBLEM_WORDS[problem.code].title}>
        <p>{problem.detail ?? PROBLEM_WORDS[problem.code].advice}</p>
      </Alert>
    ) : null}
    <Standing view={view} />
    {view.payments === "off" ? null : <Plans view={view} />}
    {view.payments === "stripe" ? <PapersOf papers={papers} view={view} taxId={taxId} /> : null}
  </>
);

const Standing: FC<{ view: BillingView }> = ({ view }) => {
  const { agents, subscription } = view;
  return (
    <section class="sheet" aria-labelledby="standing">
      <h2 id="standing">{titleOf(view)}</h2>
      <p role="status">{sentenceOf(view)}</p>
      {view.payments === "trial" ? (
        <p class="hint">Payments are not set up on this installation yet: there are trials only.</p>
      ) : null}
      <p>
        {agents.allowed === null
          ? `${count(agents.used)}.`
          : `${count(agents.used)}, and the plan has room for ${agents.allowed}.`}
      </p>
      {subscription && view.payments === "stripe" ? (
        <div class="row">
          <form method="post" action="/billing/portal">
            <button type="submit">Payment details</button>
          </form>
          {subscription.standing === "ended" ? null : (
            <form method="post" action={subscription.cancelsAt ? "/billing/resume" : "/billing/cancel"}>
              <button type="submit" class="quiet">
                {subscription.cancelsAt ? "Keep the plan" : "Cancel at the end of the period"}
              </button>
            </form>
          )}
        </div>
      ) : null}
    </section>
  );
};

const Plans: FC<{ view: BillingView }> = ({ view }) => (
  <section aria-labelledby="plans-title">
    <h2 id="plans-title">Plans</h2>
    <ul class="plans">
      {PLAN_IDS.map((id) => (
        <PlanCard plan={PLANS[id]} mark={isTheirs(view, id)}>
          {view.payments === "stripe" ? <PlanButton id={id} view={view} /> : null}
        </PlanCard>
      ))}
    </ul>
    {view.subscription?.standing === "paid" ? (
      <p class="hint">
        A larger plan begins at once, and the rest of the period is billed for it. A smaller one begins at once as well,
        and what you have paid too much is taken off the next bill.
      </p>
    ) : null}
  </section>
);

/** One plan with its sizes, for the landing page as well. */
export const PlanCard: FC<{ plan: Plan; mark: boolean; children?: unknown }> = ({ plan, mark, children }) => (
  <li class={mark ? "plan marked" : "plan"}>
    <h3>{plan.name}</h3>
    <p class="price">
      <span class="figure">${plan.usdPerMonth}</span> a month
    </p>
    <p>{plan.about}</p>
    <ul class="sizes">
      <li>{count(plan.tenants)}</li>
      <li>{`${readableMiB(plan.memoryMiB)} of memory each`}</li>
      <li>{`${plan.cpuMillis / 1000} ${plan.cpuMillis === 1000 ? "core" : "cores"} and ${plan.pids} processes each`}</li>
      <li>{`${readableMiB(plan.diskMiB)} of encrypted storage each`}</li>
      <li>{`${plan.requestsPerMinute} requests a minute`}</li>
      <li>{`${plan.snapshots} snapshots`}</li>
      <li>{plan.alwaysOn ? "Always on" : "Sleeps while nobody needs it"}</li>
    </ul>
    {children}
  </li>
);

const PlanButton: FC<{ id: PlanId; view: BillingView }> = ({ id, view }) => {
  const { subscription } = view;
  const { name } = PLANS[id];
  if (isTheirs(view, id) && subscription?.standing === "paid") return <p class="hint">Your plan</p>;
  // What is open is paid first: another plan on top of an unpaid one helps nobody.
  if (subscription?.standing === "owing") return null;
  const change = subscription?.standing === "paid";
  return (
    <form method="post" action={change ? "/billing/change" : "/billing/checkout"}>
      <input type="hidden" name="plan" value={id} />
      <button type="submit" class={change ? "quiet" : undefined}>
        {change ? `Change to ${name}` : `Choose ${name}`}
      </button>
    </form>
  );
};

const PapersOf: FC<Pick<BillingProps, "papers" | "view" | "taxId">> = ({ papers, view, taxId }) => {
  if (papers === null) return <p class="hint">Your bills cannot be shown right now. Please try again in a minute.</p>;
  const { bills, taxIds } = papers;
  return (
    <>
      <section aria-labelledby="bills">
        <h2 id="bills">Bills</h2>
        {bills.length === 0 ? <p class="hint">There are none yet.</p> : null}
        <ul class="bills">
          {bills.map((bill) => (
            <li>
              <time datetime={bill.at}>{day(bill.at)}</time>
              <span>{bill.number ?? ""}</span>
              <span>{money(bill.cents, bill.currency)}</span>
              <span>{bill.status}</span>
              <span class="row">
                {bill.url ? <a href={bill.url}>{bill.status === "open" ? "Pay" : "View"}</a> : null}
                {bill.pdf ? <a href={bill.pdf}>PDF</a> : null}
              </span>
            </li>
          ))}
        </ul>
      </section>
      {view.subscription ? (
        <section class="narrow-left" aria-labelledby="tax">
          <h2 id="tax">Tax id</h2>
          {taxIds.map(({ type, value }) => (
            <p>
              {value} <span class="hint">{TAX_TYPES.find(([id]) => id === type)?.[1] ?? type}</span>
            </p>
          ))}
          <form method="post" action="/billing/tax-id">
            <div class="field">
              <label for="type">Kind</label>
              <select id="type" name="type">
                {TAX_TYPES.map(([id, label]) => (
                  <option value={id} selected={id === taxId?.type}>
                    {label}
                  </option>
                ))}
              </select>
            </div>
            <Field
              name="value"
              label="Number"
              value={taxId?.value}
              error={taxId?.error}
              hint="It stands on your bills from now on."
              input={{ required: true, maxlength: 40, autocomplete: "off" }}
            />
            <button type="submit" class="quiet">
              Add
            </button>
          </form>
        </section>
      ) : null}
    </>
  );
};

/** The most common; the provider's own page knows all. */
const TAX_TYPES = [
  ["eu_vat", "European Union VAT"],
  ["gb_vat", "United Kingdom VAT"],
  ["ch_vat", "Switzerland VAT"],
  ["us_ein", "United States EIN"],
  ["ca_gst_hst", "Canada GST/HST"],
  ["au_abn", "Australia ABN"],
  ["in_gst", "India GST"],
  ["jp_trn", "Japan registration number"],
] as const;

const count = (n: number) => (n === 1 ? "1 agent" : `${n} agents`);
const isTheirs = ({ stage, plan, subscription }: BillingView, id: PlanId) =>
  plan === id && (stage.startsWith("trial") || subscription !== null);
const money = (cents: number, currency: string) =>
  new Intl.NumberFormat("en-US", { style: "currency", currency }).format(cents / 100);
const day = (iso: string | null) => (iso === null ? "" : readableDay(Date.parse(iso)));

function titleOf({ stage, plan }: BillingView): string {
  switch (stage) {
    case "unbilled":
      return "No billing here";
    case "trial":
    case "trial_3_days":
    case "trial_1_day":
      return "Your trial";
    case "trial_ended":
      return "Your trial has ended";
    case "paid":
    case "grace":
    case "suspended":
    case "warned":
    case "deletable":
      return `${PLANS[plan].name}, $${PLANS[plan].usdPerMonth} a month`;
  }
}

function sentenceOf({ stage, until, trialEndsAt, trialDaysLeft, subscription }: BillingView): string {
  switch (stage) {
    case "unbilled":
      return "This installation is run by somebody for themselves: nobody pays, and every agent gets what Pro would give it.";
    case "trial":
    case "trial_3_days":
    case "trial_1_day":
      return `Everything of Pro, free until ${day(trialEndsAt)}: ${trialDaysLeft === 1 ? "this is the last day" : `${trialDaysLeft} days are left`}. Then your agents are stopped until you choose a plan; their data is kept.`;
    case "trial_ended":
      return "Your agents are stopped, and their data is kept. Choose a plan, and everything goes on where it was.";
    case "paid":
      return subscription?.cancelsAt
        ? `Paid. It ends on ${day(subscription.cancelsAt)}, as you wished.`
        : `Paid. The next bill comes on ${day(subscription?.periodEndsAt ?? null)}.`;
    case "grace":
      return `The last payment failed. Everything goes on until ${day(until)}: please look at your payment details before then.`;
    case "suspended":
      return `It is not paid, so your agents are stopped. Their data is kept${until ? ` at least until ${day(until)}` : ""}; pay, and everything goes on where it was.`;
    case "warned":
      return `It has not been paid for long. Your agents and their data will be deleted${until ? ` on ${day(until)}` : " soon"}, unless you pay before.`;
    case "deletable":
      return "It was not paid for so long that your agents were deleted.";
  }
}
