import type { Context } from "hono";
import { type ChannelName, channelName } from "../../schema/protocol/index.ts";
import { atomically, isGuardFailure, isUniqueViolation, type Statement } from "../db.ts";
import { readLimitedBytes } from "../http.ts";
import { problem, problemResponse } from "../problem.ts";
import { messagesPerDayOf } from "../tenants/index.ts";
import type { Background } from "../tenants/types.ts";
import { ADAPTERS } from "./adapters/index.ts";
import { isSame } from "./adapters/proof.ts";
import { keep } from "./body.ts";
import * as channelStore from "./channel-store.ts";
import type { ChannelsContext } from "./context.ts";
import { AT_ONCE, drain } from "./deliver.ts";
import { type ChannelKeys, channelKeys } from "./keys.ts";
import { LOOPS_TOLD_PER_DAY } from "./loops.ts";
import { isRightCode, pair } from "./pairing.ts";
import { type Incoming, isRecording, isTold, judge, MAX_BODY_BYTES, NOTICE_SHARE, type Refusal } from "./rules.ts";
import { NONCE_BYTES } from "./seal.ts";
import * as store from "./store.ts";

export const HOOKS_PATH = "/hooks/:kind/:id";

type Found = NonNullable<Awaited<ReturnType<typeof store.findChannel>>>;
/** All that is known of one message while it is judged. */
interface Case extends Found {
  keys: ChannelKeys;
  message: Incoming;
  body: Uint8Array<ArrayBuffer>;
}

/**
 * A provider's call. It hears 200 once the message is a row, or will never be one; anything else makes it call again.
 * Who is not known hears the same as who is: nothing.
 */
export async function receive(context: ChannelsContext, c: Context, later: Background): Promise<Response> {
  const { db, world, config } = context;
  const found = await findCalled(context, c);
  if (!found) return problemResponse(problem("not_found"));
  const refused = (why: Refusal, senderId?: string) => refuseCall(context, found, why, senderId);

  const body = await readBody(c.req.raw);
  if (!body) {
    await refused("too_large");
    return problemResponse(problem("body_too_large", { detail: `At most ${MAX_BODY_BYTES} bytes are accepted.` }));
  }
  const keys = await channelKeys(db, config.vaultKeys, found.channel);
  // The provider keeps it: it may be ours to fix.
  if (!keys) return problemResponse(problem("internal"));
  const adapter = ADAPTERS[found.channel.kind];
  if (!(await adapter.verify({ headers: c.req.raw.headers, body, nowMs: world.now() }, keys.proof))) {
    await refused("forged");
    return problemResponse(problem("unauthenticated"));
  }
  await heardFrom(context, found.channel);
  const parsed = adapter.parse(parseJson(body), found.channel.accountId);
  switch (parsed.kind) {
    case "handshake":
      return c.json(parsed.answer);
    case "unsupported":
    case "malformed":
      await refused(parsed.kind);
      return c.json({});
    case "nothing":
      return c.json({});
    case "unanswered":
      for (const senderId of parsed.people) await refused("unanswered", senderId);
      return c.json({});
    case "messages": {
      let isAnswered = false;
      for (const spoken of parsed.messages) {
        const message = { ...spoken, sentAt: spoken.sentAt ?? world.now() };
        isAnswered = (await take(context, { ...found, keys, message, body }, later)) || isAnswered;
      }
      return c.json(isAnswered ? (adapter.promise ?? {}) : {});
    }
  }
}

/** By GET: a provider that wants to see that the address is ours shows a word, and gets back what it brings besides. */
export async function greet(context: ChannelsContext, c: Context): Promise<Response> {
  const found = await findCalled(context, c);
  const word = found && ADAPTERS[found.channel.kind].word;
  const keys = word && (await channelKeys(context.db, context.config.vaultKeys, found.channel));
  if (!keys) return problemResponse(problem("not_found"));
  const challenge = c.req.query("hub.challenge") ?? "";
  const isIt = c.req.query("hub.mode") === "subscribe" && /^[\w-]{1,200}$/.test(challenge);
  if (!isIt || !isSame(c.req.query("hub.verify_token") ?? "", word(keys.proof, found.channel.id))) {
    await refuseCall(context, found, "forged");
    return problemResponse(problem("unauthenticated"));
  }
  await heardFrom(context, found.channel);
  return c.text(challenge);
}

async function findCalled({ db }: ChannelsContext, c: Context): Promise<Found | null> {
  const kind: ChannelName | undefined = channelName.safeParse(c.req.param("kind")).data;
  const found = kind && (await store.findChannel(db, c.req.param("id") ?? ""));
  return found && found.channel.kind === kind && found.tenant.desired !== "deleted" ? found : null;
}

const refuseCall = ({ db, world }: ChannelsContext, { channel }: Found, why: Refusal, senderId: string | null = null) =>
  atomically(db, store.refusalStatements(db, channel.id, { why, senderId }, world.now()));

/** Where its owner has it send here, its first true call shows that it does. */
async function heardFrom({ db, world }: ChannelsContext, channel: store.ChannelRow): Promise<void> {
  if (channel.registeredAt === null && ADAPTERS[channel.kind].register === null) {
    await channelStore.noteRegistered(db, channel.id, world.now());
  }
}

/** Whether it will be answered. */
async function take(context: ChannelsContext, it: Case, later: Background): Promise<boolean> {
  const { db, world } = context;
  const { channel, tenant, message, keys, people } = it;
  const now = world.now();
  const [known, digest] = await Promise.all([
    store.readKnown(db, channel, message, now),
    keys.messages.digest(message.text),
  ]);
  const perDay = messagesPerDayOf(tenant.plan);
  const isOpen = channel.pairingHash !== null && (channel.pairingExpiresAt ?? 0) > now;
  const pairing = { isOpen, isRight: isOpen && isRightCode(channel, message.text) };
  const needsWords = !isTold(tenant.runtime, channel.kind);
  const isReplay = known.isReplay || (ADAPTERS[channel.kind].signsNoTime === true && isRecording(message, now));
  const verdict = judge(message, { ...known, isReplay, people, digest, perDay, pairing, needsWords });
  const refusal = (why: Refusal) => store.refusalStatements(db, channel.id, { why, senderId: message.senderId }, now);

  switch (verdict.kind) {
    case "refuse":
      await atomically(db, [
        ...refusal(verdict.why),
        ...(verdict.why === "wrong_code" ? [channelStore.countTry(db, channel)] : []),
        ...(verdict.why === "daily_limit" ? noticeOf(context, it, "limit", perDay) : []),
      ]);
      return false;
    case "stop": {
      const place = { channelId: channel.id, conversation: message.conversation };
      await atomically(db, [
        ...refusal("loop"),
        ...store.stopConversation(db, place, verdict.why, now),
        ...(known.loops < LOOPS_TOLD_PER_DAY
          ? [
              ...store.tellLoop(db, tenant, channel, now),
              context.post.posting(loopMail(it, context.config.dashboardOrigin)),
            ]
          : []),
      ]);
      return false;
    }
    case "pair":
      return pair(context, it, later);
    case "take": {
      const place = { channelId: channel.id, updateId: message.updateId };
      const body = needsWords ? keep(message) : it.body;
      const sealed = await keys.messages.seal(body, place, world.random(NONCE_BYTES));
      const { conversation, position, senderId, sentAt } = message;
      const row = { ...place, conversation, position, senderId, sentAt, receivedAt: now, digest, body: sealed };
      try {
        await atomically(db, [
          ...store.insertMessage(db, { ...row, state: "waiting" }),
          store.countOne(db, channel.id, "accepted", now),
          ...(known.today + 1 >= perDay * NOTICE_SHARE ? noticeOf(context, it, "notice", perDay) : []),
        ]);
      } catch (error) {
        // Disconnected meanwhile: nobody is there to hear it.
        if (isGuardFailure(error)) return false;
        // Two at once with the same message: the index decides, and both have been heard.
        if (!isUniqueViolation(error, "channel_messages.channel_id")) throw error;
        await atomically(db, refusal("replayed"));
        return false;
      }
      later(drain(context, channel.id, AT_ONCE));
      return true;
    }
  }
}

/** For a conversation that stops: it does not go on before its owner has looked. */
const loopMail = ({ tenant, channel, ownerEmail }: Case, dashboardOrigin: string) => ({
  to: ownerEmail,
  subject: `A conversation of ${tenant.slug} was stopped`,
  text: `On ${channel.kind}, messages to ${tenant.slug} look like those of an automaton that answers it. The exchange was stopped, so that the two do not go on for ever at your expense. If it was a person, let it go on here:\n\n${dashboardOrigin}/agents/${tenant.id}/channels`,
});

/** Told once a day each: that the day's messages are nearly used up, and that they are. */
function noticeOf(
  { db, world }: ChannelsContext,
  { channel, tenant }: Case,
  what: "notice" | "limit",
  perDay: number,
): Statement[] {
  const about = { channelId: channel.id, tenantId: tenant.id, generation: tenant.generation };
  const detail =
    what === "notice"
      ? `${Math.round(NOTICE_SHARE * 100)} % of today's ${perDay} messages have come in.`
      : `Today's ${perDay} messages have come in; more are not heard until midnight UTC.`;
  return store.eventOnce(db, about, { what: `told_${what}`, step: `messages.${what}`, detail }, world.now());
}

/** Null beyond the limit: counted while reading, whatever length was stated. */
async function readBody(request: Request): Promise<Uint8Array<ArrayBuffer> | null> {
  if (Number(request.headers.get("content-length") ?? 0) > MAX_BODY_BYTES) return null;
  try {
    return await readLimitedBytes(request, MAX_BODY_BYTES);
  } catch (error) {
    if (error instanceof Error && error.name === "TooLarge") return null;
    throw error;
  }
}

function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body));
  } catch {
    return null;
  }
}
