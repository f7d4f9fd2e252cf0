import { z } from "zod";
import type { PlanId } from "../tenants/index.ts";
import type { Subscription } from "./rules.ts";

/** Of Stripe's states, https://docs.stripe.com/api/subscriptions/object#subscription_object-status; others do not count. */
const STANDING: Readonly<Record<string, Subscription["standing"] | undefined>> = {
  active: "paid",
  trialing: "paid",
  past_due: "owing",
  unpaid: "owing",
  paused: "owing",
  canceled: "ended",
};

const shape = z.object({
  id: z.string(),
  status: z.string(),
  created: z.number(),
  cancel_at: z.number().nullable(),
  cancel_at_period_end: z.boolean(),
  ended_at: z.number().nullable(),
  cancellation_details: z.object({ reason: z.string().nullish() }).nullish(),
  items: z.object({
    data: z.array(
      z.object({
        current_period_start: z.number(),
        current_period_end: z.number(),
        price: z.object({ id: z.string() }),
      }),
    ),
  }),
});
type RawSubscription = z.infer<typeof shape>;

const RANK: readonly Subscription["standing"][] = ["paid", "owing", "ended"];
const rank = (it: RawSubscription) => RANK.indexOf(STANDING[it.status] as Subscription["standing"]);

export const isEnded = (status: string): boolean => STANDING[status] === "ended";

/**
 * Of all that a customer has or had, the subscription that counts: the one that serves its owner best, of equals the
 * newest; null when there is none. `others` live beside it. `owingSince` is the beginning of its period, until the bill
 * itself is known.
 */
export function readSubscription(
  all: readonly unknown[],
  planOfPrice: (price: string) => PlanId,
): { subscription: Subscription; others: string[] } | null {
  const counting = all.map((one) => shape.parse(one)).filter((it) => rank(it) >= 0);
  const [it, ...rest] = counting.sort((a, b) => rank(a) - rank(b) || b.created - a.created || (a.id < b.id ? 1 : -1));
  const item = it?.items.data[0];
  const standing = it && STANDING[it.status];
  if (!it || !item || !standing) return null;
  const ms = (seconds: number) => seconds * 1000;
  // Ended because it was not paid: then the lapse began with the bill, not with the end.
  const isUnpaid = standing === "owing" || it.cancellation_details?.reason === "payment_failed";
  const endsWithPeriod = it.cancel_at_period_end ? item.current_period_end : null;
  const cancelsAt = it.cancel_at ?? endsWithPeriod;
  return {
    subscription: {
      id: it.id,
      plan: planOfPrice(item.price.id),
      standing,
      periodEndsAt: ms(item.current_period_end),
      cancelsAt: cancelsAt === null ? null : ms(cancelsAt),
      owingSince: isUnpaid ? ms(item.current_period_start) : null,
      endedAt: it.ended_at === null ? null : ms(it.ended_at),
    },
    others: standing === "ended" ? [] : rest.filter(({ status }) => !isEnded(status)).map(({ id }) => id),
  };
}
