import type { Context } from "hono";
import { describeError, readLimited } from "../http.ts";
import type { Background } from "../tenants/types.ts";
import type { BillingEvent, Payments } from "./payments.ts";
import { type BillingContext, review } from "./review.ts";
import * as store from "./store.ts";

export const WEBHOOK_PATH = "/api/billing/events";
/** Bills with many lines are long. */
const MAX_BYTES = 512 * 1024;

/**
 * The provider's events. An event proves only that there is something to look at: what it says about a subscription is
 * not read, so late, doubled, swapped or left-out events end in the same place. Anything but a 200 makes the provider
 * send it again, for days.
 */
export async function takeEvent(
  context: BillingContext & { payments: Payments },
  c: Context,
  later: Background,
): Promise<Response> {
  const { payments, world } = context;
  // The very bytes that were signed: parsing and printing them again would break the signature, or hide a difference.
  const raw = await readLimited(c.req.raw, MAX_BYTES);
  const event = await payments.event(raw, c.req.header("stripe-signature") ?? "", world.now());
  if (!event) return c.text("signature refused", 400);
  try {
    return c.text(await take(context, event, later));
  } catch (error) {
    console.error(JSON.stringify({ event: "billing_event_failed", id: event.id, error: describeError(error) }));
    return c.text("try again later", 503);
  }
}

async function take(
  context: BillingContext,
  event: BillingEvent,
  later: Background,
): Promise<"taken" | "known" | "not ours"> {
  const ownerId = event.customerId && (await store.ownerOfCustomer(context.db, event.customerId));
  if (!ownerId) return "not ours";
  const found = await review(context, ownerId, event);
  if (!found) return "known";
  later(Promise.all(found.changed.map(context.deliver)));
  return "taken";
}
