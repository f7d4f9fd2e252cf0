import type { World } from "../clock.ts";
import { atomically, type Database, isUniqueViolation, retryingGuards, type Statement } from "../db.ts";
import type { Post } from "../mail/index.ts";
import { agentsOf, type HostsPort, settle } from "../tenants/service.ts";
import { noticeOf } from "./notices.ts";
import type { BillingEvent, Payments } from "./payments.ts";
import { type BillingConfig, type Entitlement, entitlements, nextReview } from "./rules.ts";
import * as store from "./store.ts";

export interface BillingContext extends Pick<HostsPort, "crowded" | "keepPromises"> {
  db: Database;
  world: World;
  mode: BillingConfig["mode"];
  /** Null where nobody can pay. */
  payments: Payments | null;
  post: Pick<Post, "posting">;
  /** The outbox row for a host that must hear about an agent. */
  announce(row: { hostId: string; tenantId: string; generation: number }): Statement;
  deliver(tenantId: string): Promise<void>;
  billingUrl: string;
}

const TRIES = 8;
/** For room on a server: somebody may be deleted, or move. */
const ROOM_AGAIN_MS = 3_600_000;

export interface Peek {
  it: Entitlement;
  /** Null on somebody's own machine. */
  account: store.AccountRow | null;
  agents: number;
}

export interface Review extends Peek {
  account: store.AccountRow;
  /** Agents whose hosts should hear of it; the outbox has them already. */
  changed: string[];
}

/**
 * Looks at one account and brings everything to what it may have: asks the provider what is so now, decides, and writes
 * its word, the event that caused the look, the agents and the notice in one transaction. Null where no account is open
 * or the event was taken in before. Throws when the provider does not answer: then nothing is concluded.
 *
 * The account's version is read before the provider is asked, and must be the same at the end: of two looks at once,
 * the one that asked earlier looks again instead of writing an older word over a newer one.
 */
export async function review(context: BillingContext, ownerId: string, event?: BillingEvent): Promise<Review | null> {
  if (event && (await store.isKnownEvent(context.db, event.id))) return null;
  try {
    return await retryingGuards(() => attempt(context, ownerId, event), TRIES);
  } catch (error) {
    if (event && isUniqueViolation(error, "billing_events.id")) return null;
    throw error;
  }
}

/** What an account may have by what is stored, without asking anybody. Opens the account at the first look. */
export async function peek({ db, mode, world }: BillingContext, ownerId: string): Promise<Peek> {
  const look = () => store.readAccount(db, ownerId);
  const [first, agents] = await Promise.all([look(), agentsOf(db, ownerId)]);
  if (!first && mode !== "off") await store.openAccount(db, ownerId, world.now());
  const read = first ?? (mode === "off" ? null : await look());
  const account = read?.account ?? null;
  const facts = {
    mode,
    trialEndsAt: account?.trialEndsAt ?? 0,
    subscription: account && store.subscriptionOf(account),
    warnings: read?.warnings ?? [],
  };
  return { it: entitlements(facts, world.now()), account, agents: agents.length };
}

async function attempt(context: BillingContext, ownerId: string, event?: BillingEvent): Promise<Review | null> {
  const { db, world, mode, payments, post } = context;
  const read = await store.readAccount(db, ownerId);
  if (!read) return null;
  const { account, warnings, person } = read;
  const rows = await agentsOf(db, ownerId);
  const asked = payments !== null && account.customerId !== null;
  const subscription = asked
    ? await payments.subscription(account.customerId as string)
    : store.subscriptionOf(account);

  const now = world.now();
  const it = entitlements({ mode, trialEndsAt: account.trialEndsAt, subscription, warnings }, now);
  const remove = it.stage === "deletable";
  const crowded = remove ? new Set<string>() : await context.crowded(rows, it.label);
  const allowance = { plan: it.label, tenants: it.tenants, remove, crowded };
  const growing = remove ? [] : rows.filter(({ id }) => !crowded.has(id));
  const settled = settle(db, { ownerId, rows, allowance }, context.announce, now);

  const about = { it, name: person?.name ?? "", agents: rows.length, billingUrl: context.billingUrl };
  const mail = person && noticeOf(person.email, { ...about, payable: payments !== null });
  const notice = { ownerId, kind: it.stage, cause: it.cause };
  const tells = mail && !(await store.hasNotice(db, notice)) ? mail : null;
  const to = {
    ...store.columnsOf(subscription),
    fetchedAt: asked ? now : account.fetchedAt,
    // A warning starts a term of its own, which only the next look can know.
    reviewAt: Math.min(
      tells && it.stage === "warned" ? now : nextReview(it, asked, now),
      crowded.size > 0 ? now + ROOM_AGAIN_MS : Number.MAX_SAFE_INTEGER,
    ),
  };
  await atomically(db, [
    ...(event ? [store.insertEvent(db, event, ownerId, now)] : []),
    ...store.updateAccount(db, account, to),
    ...settled.statements,
    ...context.keepPromises(growing, it.label),
    ...(tells ? [store.insertNotice(db, { ...notice, at: now }), post.posting(tells)] : []),
  ]);
  const left = remove ? 0 : rows.length;
  return { it, account: { ...account, ...to, version: account.version + 1 }, agents: left, changed: settled.changed };
}
