import { toBase64url } from "../../schema/protocol/index.ts";
import { sendAnswer } from "./answer.ts";
import type { ChannelsContext } from "./context.ts";
import { handOver, type Said, type Waiting } from "./hand-over.ts";
import { type ChannelKeys, channelKeys } from "./keys.ts";
import * as queue from "./queue.ts";
import { type HandOverFailure, isHopeless, pauseMs, type Refusal } from "./rules.ts";
import * as store from "./store.ts";

const LEASE_MS = 18_000;
/** No further try begins after so long: a Worker has half a minute after its answer. */
const LAST_TRY_AFTER_MS = 15_000;
/** A Worker has six connections at a time, and some must be left for the database. */
const AT_A_TIME = 4;
const CONVERSATIONS = 32;
const MESSAGES = 50;
/** Before an agent that still thinks is asked again, where its host has not said that it is done. */
const THINKS_MS = 20_000;

/** How long one delivery goes on: right after a message, or when the clock has come to it. */
export interface Effort {
  /** In a row, before the clock's turn comes. */
  tries: number;
  /** For an answer. */
  waitMs: number;
}
export const AT_ONCE: Effort = { tries: 3, waitMs: 8_000 };
export const IN_TURN: Effort = { tries: 1, waitMs: 0 };

/**
 * Hands over what waits: in order within a conversation, conversations side by side, each until the agent has said that
 * it has the message, or what it says to it. Whoever dies in the middle leaves a lease that ends by itself; the message
 * is then handed over again, and the agent knows it by its id.
 */
export async function drain(context: ChannelsContext, channelId: string | null, effort: Effort): Promise<void> {
  const { db, world } = context;
  const due = await queue.dueConversations(db, channelId, world.now(), CONVERSATIONS);
  const next = due.values();
  const work = async () => {
    for (const place of next) await handOverAll(context, place, effort);
  };
  await Promise.all(Array.from({ length: Math.min(AT_A_TIME, due.length) }, work));
}

type Place = { channelId: string; conversation: string };

async function handOverAll(context: ChannelsContext, place: Place, effort: Effort): Promise<void> {
  const { db, world } = context;
  const lease = toBase64url(world.random(12));
  const until = () => ({ lease, leaseUntil: world.now() + LEASE_MS });
  const held = () => queue.extend(db, place, until());
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
    if (found.waiting.length === 0) {
      // Not let go: something has come in. Not held either: somebody else has taken over, and begins for it.
      if ((await queue.release(db, place, lease)) || !(await held())) return;
    }
    for (const message of found.waiting) {
      const outcome: Outcome = found.people.has(message.senderId)
        ? await bring(context, { found, keys, message }, { failures, effort, held })
        : // Taken off the list while it waited.
          { kind: "dropped", why: "not_allowed" };
      if (outcome.kind === "thinking") {
        const nextAttemptAt = world.now() + THINKS_MS;
        return queue.postpone(db, place, lease, { attempts: 0, nextAttemptAt, lastError: null });
      }
      if (outcome.kind === "failed") {
        failures += outcome.tried;
        const random01 = (world.random(1)[0] as number) / 255;
        const nextAttemptAt = world.now() + Math.max(pauseMs(failures, random01), outcome.notBeforeMs ?? 0);
        return queue.postpone(db, place, lease, { attempts: failures, nextAttemptAt, lastError: outcome.why });
      }
      const isBack = outcome.kind === "taken" && failures > 0;
      failures = 0;
      const what = outcome.kind === "taken" ? "taken" : outcome.why;
      const more = isBack ? [queue.hurry(db, place.channelId)] : [];
      if (!(await queue.endMessage(db, message, { what, held: until(), more }, world.now()))) return;
    }
  }
}

export interface Task {
  found: Waiting;
  keys: ChannelKeys;
  message: store.MessageRow;
}
/** Whether the lease is still held, and is now for longer. */
export type Held = () => Promise<boolean>;
export type Outcome =
  | { kind: "taken" }
  | { kind: "thinking" }
  | { kind: "dropped"; why: Refusal }
  | { kind: "failed"; why: HandOverFailure; tried: number; notBeforeMs?: number };

/** To the agent, and what it says to it back to whoever wrote; a try that begins with an answer at hand asks nobody. */
async function bring(
  context: ChannelsContext,
  { found, keys, message }: Task,
  { failures, effort, held }: { failures: number; effort: Effort; held: Held },
): Promise<Outcome> {
  const body = message.body === null ? null : await keys.messages.open(message.body, message);
  if (!body) return { kind: "dropped", why: "unreadable" };
  const task = { found, keys, message };
  if (message.answer !== null) {
    const answer = await keys.messages.open(message.answer, store.answerPlace(message));
    return answer ? sendAnswer(context, { ...task, body, answer }, held) : { kind: "dropped", why: "unreadable" };
  }
  const { world } = context;
  const startedAt = world.now();
  for (let tried = 1; ; tried += 1) {
    const it = { message, body, proof: keys.proof, waitMs: effort.waitMs };
    const said: Said = await handOver(context, found, it);
    switch (said.kind) {
      case "taken":
        return said;
      case "answered": {
        const answer = new TextEncoder().encode(said.text) as Uint8Array<ArrayBuffer>;
        if (!(await store.keepAnswer(context, keys, message, answer))) return { kind: "thinking" };
        return sendAnswer(context, { ...task, body, answer }, held);
      }
      case "thinking":
        return said;
      case "failed": {
        const { why } = said;
        if (isHopeless(why, failures + tried)) return { kind: "dropped", why: "not_taken" };
        const isLate = world.now() - startedAt > LAST_TRY_AFTER_MS;
        if (tried >= effort.tries || isLate || !(await held())) return { kind: "failed", why, tried };
        await world.sleep(500 * tried);
      }
    }
  }
}
