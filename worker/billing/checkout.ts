import { toBase64url } from "../../schema/protocol/index.ts";
import type { Person } from "../accounts/index.ts";
import { atomically, retryingGuards } from "../db.ts";
import type { PlanId } from "../tenants/index.ts";
import type { Payments } from "./payments.ts";
import { type BillingContext, review } from "./review.ts";
import * as store from "./store.ts";

/** A checkout that was begun so long ago and never came to light is begun anew; well below the provider's own limits. */
const ATTEMPT_MS = 20 * 60_000;
/** A person needs this long to type a card. */
const STILL_OPEN_MS = 10 * 60_000;

export type Checkout = { ok: true; url: string } | { ok: false; reason: "already_subscribed" };

/**
 * Leads an owner to the provider's checkout so that in the end there is exactly one subscription, wherever this process
 * is cut off and however many tabs are open:
 *
 * 1. The customer is made with a key of its owner, and is committed before anything is bought for it.
 * 2. The attempt is committed before its checkout is made, and is the checkout's idempotency key: after a crash in
 *    between, the next try gets the same checkout.
 * 3. Every other open checkout is closed first. One that cannot be closed any more was paid: then there is nothing to buy.
 * 4. Its address is given out only after a commit that fails when another attempt has taken the place: whatever lost such
 *    a race was never seen by anybody, so nobody can pay it.
 */
export function startCheckout(
  context: BillingContext & { payments: Payments },
  person: Person,
  plan: PlanId,
): Promise<Checkout> {
  return retryingGuards(() => attempt(context, person, plan));
}

async function attempt(
  context: BillingContext & { payments: Payments },
  person: Person,
  plan: PlanId,
): Promise<Checkout> {
  const { db, world, payments, billingUrl } = context;
  const ownerId = person.id;
  const customerId = await customerOf(context, person);
  const before = await store.readCheckout(db, ownerId);
  const now = world.now();
  const continues = before?.plan === plan && before.sessionId === null && before.startedAt > now - ATTEMPT_MS;
  const row: store.CheckoutRow = continues
    ? before
    : { ownerId, plan, attempt: toBase64url(world.random(16)), startedAt: now, sessionId: null };

  // Before the attempt takes its place: a checkout of the same plan that is open already is as good as a new one.
  const open = await payments.openCheckouts(customerId);
  const same = open.find((it) => it.id === before?.sessionId && it.plan === plan && it.expiresAt > now + STILL_OPEN_MS);
  if (same && open.length === 1) return { ok: true, url: same.url };
  if (!continues) await atomically(db, store.replaceCheckout(db, before, row));

  for (const it of await payments.openCheckouts(customerId)) {
    if (it.attempt !== row.attempt) await payments.expireCheckout(it.id);
  }
  const standing = (await review(context, ownerId))?.account.standing;
  if (standing === "paid" || standing === "owing") return { ok: false, reason: "already_subscribed" };

  const order = { attempt: row.attempt, startedAt: row.startedAt, customerId, plan, backTo: billingUrl };
  const session = await payments.createCheckout(order);
  try {
    await atomically(db, store.keepSession(db, row, session.id));
  } catch (error) {
    await payments.expireCheckout(session.id);
    throw error;
  }
  return { ok: true, url: session.url };
}

async function customerOf(context: BillingContext & { payments: Payments }, person: Person): Promise<string> {
  const { db, payments } = context;
  return retryingGuards(async () => {
    const account = (await store.readAccount(db, person.id))?.account;
    if (!account) throw new Error("a checkout without an account");
    if (account.customerId !== null) return account.customerId;
    const customerId = await payments.createCustomer(person);
    await atomically(db, store.updateAccount(db, account, { customerId }));
    return customerId;
  });
}
