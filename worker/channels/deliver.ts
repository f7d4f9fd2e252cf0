import { HAND_OVER, toBase64url } from "../../schema/protocol/index.ts";
import { MESSAGES_PATH } from "../access/index.ts";
import { tenantHostnameOf } from "../env.ts";
import { SECRET_HEADER } from "./adapters/telegram.ts";
import type { ChannelsContext } from "./context.ts";
import { type ChannelKeys, channelKeys } from "./keys.ts";
import * as queue from "./queue.ts";
import { failureOf, type HandOverFailure, isHopeless, pauseMs, type Refusal } from "./rules.ts";
import * as store from "./store.ts";

/** Shorter than the gate holds a program while the agent wakes; the wake goes on without us. */
const TIMEOUT_MS = 14_000;
const LEASE_MS = 18_000;
/** No further try begins after so long: a Worker has half a minute after its answer. */
const LAST_TRY_AFTER_MS = 15_000;
/** A Worker has six connections at a time, and some must be left for the database. */
const AT_A_TIME = 4;
const CONVERSATIONS = 32;
const MESSAGES = 50;
/** In a row, before the clock's turn comes. */
const TRIES = 3;

/**
 * Hands over what waits: in order within a conversation, conversations side by side, each until the agent has said that
 * it has the message. Whoever dies in the middle leaves a lease that ends by itself; the message is then handed over
 * again, and the agent knows it by its id.
 */
export async function drain(context: ChannelsContext, channelId: string | null, tries = TRIES): Promise<void> {
  const { db, world } = context;
  const due = await queue.dueConversations(db, channelId, world.now(), CONVERSATIONS);
  const next = due.values();
  const work = async () => {
    for (const place of next) await handOverAll(context, place, tries);
  };
  await Promise.all(Array.from({ length: Math.min(AT_A_TIME, due.length) }, work));
}

type Place = { channelId: string; conversation: string };
type Waiting = NonNullable<Awaited<ReturnType<typeof queue.readWaiting>>>;

async function handOverAll(context: ChannelsContext, place: Place, tries: number): Promise<void> {
  const { db, world } = context;
  const lease = toBase64url(world.random(12));
  const until = () => ({ lease, leaseUntil: world.now() + LEASE_MS });
  const conversation = await queue.claim(db, place, until(), world.now());
  if (!conversation) return;
  let failures = conversation.attempts;
  for (;;) {
    const found = await queue.readWaiting(db, place, MESSAGES);
    const keys = found && (await channelKeys(db, context.config.vaultKeys, found.channel));
    // Deleted meanwhile, or stopped by its owner: the message waits for another day, or goes with the agent.
    if (!found || !keys || found.tenant.desired !== "running") {
      return queue.postpone(db, place, lease, { attempts: failures, nextAttemptAt: 0, lastError: null });
    }
    if (found.waiting.length === 0 && (await queue.release(db, place, lease))) return;
    for (const message of found.waiting) {
      const held = () => queue.extend(db, place, until());
      const outcome = await handOver(context, found, keys, message, { failures, tries, held });
      if (outcome.kind === "failed") {
        failures += outcome.tried;
        const random01 = (world.random(1)[0] as number) / 255;
        const nextAttemptAt = world.now() + pauseMs(failures, random01);
        return queue.postpone(db, place, lease, { attempts: failures, nextAttemptAt, lastError: outcome.why });
      }
      const isBack = outcome.kind === "taken" && failures > 0;
      failures = 0;
      const what = outcome.kind === "taken" ? "taken" : outcome.why;
      const more = [
        store.countOne(db, place.channelId, what, world.now()),
        ...(isBack ? [queue.hurry(db, place.channelId)] : []),
      ];
      const state = outcome.kind;
      if (!(await queue.endMessage(db, message, { state, held: until(), more }, world.now()))) return;
    }
  }
}

type Outcome =
  | { kind: "taken" }
  | { kind: "dropped"; why: Refusal }
  | { kind: "failed"; why: HandOverFailure; tried: number };

/** A few times in a row, for an agent that is just waking. */
async function handOver(
  context: ChannelsContext,
  to: Waiting,
  keys: ChannelKeys,
  message: store.MessageRow,
  { failures, tries, held }: { failures: number; tries: number; held: () => Promise<boolean> },
): Promise<Outcome> {
  const { world } = context;
  const body = message.body === null ? null : await keys.messages.open(message.body, message);
  if (!body) return { kind: "dropped", why: "unreadable" };
  const startedAt = world.now();
  for (let tried = 1; ; tried += 1) {
    const failure = await send(context, to, keys.proof, body);
    if (failure === null) return { kind: "taken" };
    if (isHopeless(failure, failures + tried)) return { kind: "dropped", why: "not_taken" };
    if (tried >= tries || world.now() - startedAt > LAST_TRY_AFTER_MS) return { kind: "failed", why: failure, tried };
    await world.sleep(500 * tried);
    if (!(await held())) return { kind: "failed", why: failure, tried };
  }
}

async function send(
  context: ChannelsContext,
  { channel, tenant, host }: Waiting,
  proof: string,
  body: Uint8Array<ArrayBuffer>,
): Promise<HandOverFailure | null> {
  const way = HAND_OVER[tenant.runtime][channel.kind];
  if (!way) return "agent_away";
  const hostname = tenantHostnameOf(context.config.tenants, tenant.slug);
  const delivery = { sub: tenant.id, aud: host.id, hostname, channel: channel.kind, path: way.path };
  try {
    const response = await context.fetch(`${host.endpoint}${MESSAGES_PATH}`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${await context.deliveryToken(delivery)}`,
        "content-type": "application/json",
        [SECRET_HEADER]: proof,
      },
      body,
      redirect: "manual",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    await response.body?.cancel();
    return failureOf(response.status, response.headers.get(way.taken.header) === way.taken.value);
  } catch {
    return "host_unreachable";
  }
}
